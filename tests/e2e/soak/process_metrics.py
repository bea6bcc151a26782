"""Resource use of a server over time, from its own metrics, and whether it grows."""
import statistics
from dataclasses import asdict, dataclass

GAUGES = ("halkspeech_requests_in_flight", "halkspeech_queued_windows", "halkspeech_queued_audio_seconds")
MIB = 2**20


@dataclass(frozen=True)
class Sample:
    at_s: float
    quiet: bool          # no request running and no model loaded
    resident_mib: float
    open_files: float
    threads: float
    cpu_s: float
    models_loaded: float

    def row(self):
        return asdict(self)


def sample(metrics, at_s, quiet):
    return Sample(at_s, quiet, metrics["process_resident_memory_bytes"] / MIB, metrics["process_open_fds"],
                  metrics["process_threads"], metrics["process_cpu_seconds_total"], metrics["halkspeech_models_loaded"])


def nonzero_gauges(metrics):
    """The gauges that should be 0 on an idle server and are not."""
    return {name: metrics[name] for name in GAUGES if metrics[name]}


def connections(address):
    """Number of open connections of a server on this machine, including those that the client has closed."""
    host, port = address
    if host not in ("127.0.0.1", "localhost"):
        return 0
    with open("/proc/net/tcp", encoding="ascii") as lines:
        rows = [line.split() for line in list(lines)[1:]]
    established, close_wait = "01", "08"
    return sum(int(row[1].split(":")[1], 16) == port and row[3] in (established, close_wait) for row in rows)


# Allowed growth from the second sixth to the last; for memory also a share, since allocators keep freed memory.
MAX_GROWTH = {"resident_mib": lambda before: 16 + 0.05 * before, "open_files": lambda before: 2,
              "threads": lambda before: 4}


@dataclass(frozen=True)
class Trend:
    name: str
    before: float
    after: float
    allowed: float

    @property
    def is_stable(self):
        return self.after - self.before <= self.allowed


def trends(samples):
    """The medians of the second and of the last sixth of the samples of an idle server without loaded models.

    The first sixth is left out, since caches and pools are filled then. None if there are too few samples.
    """
    if len(samples) < 6:
        return None
    sixth = len(samples) // 6
    second, last = samples[sixth:2 * sixth], samples[-sixth:]
    medians = [(name, *(statistics.median(getattr(each, name) for each in part) for part in (second, last)))
               for name in MAX_GROWTH]
    return [Trend(name, before, after, MAX_GROWTH[name](before)) for name, before, after in medians]


def evenly_spaced(samples, points=8):
    """A few samples at even distances, including the first and the last."""
    if len(samples) <= points:
        return samples
    return [samples[round(number * (len(samples) - 1) / (points - 1))] for number in range(points)]
