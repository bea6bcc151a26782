"""Starts the server on a free loopback port, and stops it in all cases."""
import json
import os
import re
import subprocess
import time
import urllib.request

READY = re.compile(r"ready address=([\d.]+):(\d+)")
STOP_S = 20


class Server:
    """A context manager for a server process; `log` is the path of its log file."""

    def __init__(self, binary, settings, log, library_dir=None, ready_s=120):
        self.binary, self.log, self.ready_s = binary, log, ready_s
        self.environment = {"PATH": os.environ.get("PATH", ""), "UVICORN_HOST": "127.0.0.1", "UVICORN_PORT": "0",
                            "SERVER__SHUTDOWN_TIMEOUT_S": "5", **settings}
        # Keeps the machine's own GPU settings.
        for name in os.environ:
            if name.startswith(("CUDA_", "NVIDIA_", "LD_LIBRARY_PATH")):
                self.environment[name] = os.environ[name]
        if library_dir:
            paths = [library_dir, os.environ.get("LD_LIBRARY_PATH")]
            self.environment["LD_LIBRARY_PATH"] = ":".join(filter(None, paths))

    def __enter__(self):
        started = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([self.binary, "serve"], env=self.environment, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log)
        try:
            self.address = self._wait(started + self.ready_s)
        except BaseException:
            self._stop()
            raise
        self.ready_after_s = time.monotonic() - started
        return self

    def __exit__(self, *_):
        self._stop()

    def get(self, path):
        host, port = self.address
        with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=10) as answer:
            return answer.read().decode()

    def get_json(self, path):
        return json.loads(self.get(path))

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def _wait(self, until):
        while True:
            found = READY.search(self.log_text())
            if found:
                return found[1], int(found[2])
            ended = self.process.poll()
            if ended is not None or time.monotonic() > until:
                reason = f"ended with status {ended}" if ended is not None else f"was not ready in {self.ready_s} s"
                raise RuntimeError(f"the server {reason}:\n" + "\n".join(self.log_text().splitlines()[-15:]))
            time.sleep(0.1)

    def _stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
