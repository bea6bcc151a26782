"""The name of the GPU, and its memory in use while a server runs."""
import glob
import re
import shutil
import subprocess
import threading

from metrics import Metrics

EVERY_S = 0.5


def smi(*fields):
    """Fields of the first GPU from nvidia-smi; None without nvidia-smi."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (subprocess.SubprocessError, OSError):
        return None
    return dict(zip(fields, (value.strip() for value in output.split(","))))


def describe():
    found = smi("name", "driver_version", "memory.total")
    if found:
        return {"gpu": found["name"], "driver": found["driver_version"], "memory_mib": int(found["memory.total"])}
    machine = {"gpu": "none", "driver": "none", "memory_mib": None}
    for path, name, pattern in [("/proc/driver/nvidia/gpus/*/information", "gpu", r"Model:\s*(.+)"),
                                ("/proc/driver/nvidia/version", "driver", r"Kernel Module.*?(\d+\.\d+(?:\.\d+)?)")]:
        for file in sorted(glob.glob(path))[:1]:
            with open(file, encoding="utf-8", errors="replace") as content:
                match = re.search(pattern, content.read())
            machine[name] = match[1].strip() if match else machine[name]
    return machine


class MemoryWatch:
    """Polls nvidia-smi and the server on a thread, and keeps the maximum of each, in MiB."""

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
            self.peak_mib = maximum(self.peak_mib, used_mib())
            try:
                metrics = Metrics(self.server.get("/metrics"))
            except OSError:
                # The server is busy, or about to stop.
                continue
            used = metrics.gauge("halkspeech_device_memory_bytes", device="cuda:0", kind="used")
            self.gauge_peak_mib = maximum(self.gauge_peak_mib, used and round(used / 2**20))


def used_mib():
    found = smi("memory.used")
    return int(found["memory.used"]) if found else None


def maximum(*numbers):
    return max((number for number in numbers if number is not None), default=None)
