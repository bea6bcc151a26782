"""What a server takes of its machine over time, from its own metrics, and whether that grows."""
import statistics
from dataclasses import asdict, dataclass

GAUGES = ("halkspeech_requests_in_flight", "halkspeech_queued_windows", "halkspeech_queued_audio_seconds")
MIB = 2**20


@dataclass(frozen=True)
class Sample:
    at_s: float
    quiet: bool          # no request inside and no model loaded
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


def busy(metrics):
    """The gauges that are not 0 though they should be."""
    return {name: metrics[name] for name in GAUGES if metrics[name]}


def connections(address):
    """Connections that a server of this machine has open, those among them that their client has left."""
    host, port = address
    if host not in ("127.0.0.1", "localhost"):
        return 0
    with open("/proc/net/tcp", encoding="ascii") as lines:
        rows = [line.split() for line in list(lines)[1:]]
    established, close_wait = "01", "08"
    return sum(int(row[1].split(":")[1], 16) == port and row[3] in (established, close_wait) for row in rows)


# How much more the last sixth may have than the second: of memory a share as well, for what an allocator keeps.
SLACK = {"resident_mib": lambda before: 16 + 0.05 * before, "open_files": lambda before: 2,
         "threads": lambda before: 4}


@dataclass(frozen=True)
class Trend:
    what: str
    before: float
    after: float
    allowed: float

    @property
    def flat(self):
        return self.after - self.before <= self.allowed


def trends(samples):
    """The median of the second sixth against that of the last one, among quiet points: nothing runs, nothing is loaded.

    The first sixth is left out, as caches and pools fill then. None where there are too few points to tell.
    """
    if len(samples) < 6:
        return None
    sixth = len(samples) // 6
    second, last = samples[sixth:2 * sixth], samples[-sixth:]
    medians = [(what, *(statistics.median(getattr(one, what) for one in part) for part in (second, last)))
               for what in SLACK]
    return [Trend(what, before, after, SLACK[what](before)) for what, before, after in medians]


def curve(samples, points=8):
    """A few samples that lie evenly over the whole time, the first and the last among them."""
    if len(samples) <= points:
        return samples
    return [samples[round(number * (len(samples) - 1) / (points - 1))] for number in range(points)]
