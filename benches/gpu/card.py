"""What the card is, and how much of its memory is in use while a server runs."""
import glob
import re
import shutil
import subprocess
import threading

from metrics import Metrics

EVERY_S = 0.5


def smi(*fields):
    """The first card's fields as nvidia-smi says them; none without it."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return None
    return dict(zip(fields, (value.strip() for value in said.split(","))))


def describe():
    found = smi("name", "driver_version", "memory.total")
    if found:
        return {"card": found["name"], "driver": found["driver_version"], "memory_mib": int(found["memory.total"])}
    card = {"card": "none", "driver": "none", "memory_mib": None}
    for path, name, pattern in [("/proc/driver/nvidia/gpus/*/information", "card", r"Model:\s*(.+)"),
                                ("/proc/driver/nvidia/version", "driver", r"Kernel Module.*?(\d+\.\d+(?:\.\d+)?)")]:
        for file in sorted(glob.glob(path))[:1]:
            with open(file, encoding="utf-8", errors="replace") as content:
                match = re.search(pattern, content.read())
            card[name] = match[1].strip() if match else card[name]
    return card


class MemoryWatch:
    """Asks nvidia-smi and the server over and over, on a thread, and keeps the most that each has said, in MiB."""

    def __init__(self, server):
        self.server = server
        self.peak_mib = self.gauge_peak_mib = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch")

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()

    def _watch(self):
        while not self._end.wait(EVERY_S):
            self.peak_mib = most(self.peak_mib, used_mib())
            try:
                metrics = Metrics(self.server.get("/metrics"))
            except OSError:
                # It is busy, or about to stop.
                continue
            used = metrics.gauge("halkspeech_device_memory_bytes", device="cuda:0", kind="used")
            self.gauge_peak_mib = most(self.gauge_peak_mib, used and round(used / 2**20))


def used_mib():
    found = smi("memory.used")
    return int(found["memory.used"]) if found else None


def most(*numbers):
    return max((number for number in numbers if number is not None), default=None)
