"""Starts servers on free loopback ports, waits until they are ready, stops them in all cases; sends requests."""
import contextlib
import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass

# Prefixes of variables that change the behaviour of a server or library; they are not inherited from the caller.
IGNORED_PREFIXES = ("OPENBLAS_", "OMP_", "KMP_", "GOMP_", "MKL_", "CT2_", "DNNL_", "WHISPER__", "SERVER__", "AUDIO__",
                    "MODELS__", "LIVE__", "WYOMING__", "MODEL_ALIASES", "PRELOAD_MODELS", "ALLOW_ORIGINS", "API_KEY",
                    "HF_", "LOG_", "OTEL_", "UVICORN_", "FWS_")
# The running servers, oldest first.
_running = []


@dataclass(frozen=True)
class Server:
    """A running server: its address, its process, its log file."""
    url: str
    process: subprocess.Popen
    log: str

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as lines:
            return lines.read()


def environment(**more):
    """The environment without settings of servers and math libraries, with additional variables."""
    return {name: value for name, value in os.environ.items() if not name.startswith(IGNORED_PREFIXES)} | {
        name: str(value) for name, value in more.items()}


def command(program, models, port, host="127.0.0.1", prefix=(), arguments=()):
    """The command line of a HalkSpeech server; `prefix` is a program that starts it, such as prlimit."""
    return [*prefix, os.path.abspath(program), "serve", *arguments, "--host", host, "--port", str(port),
            "--models-dir", str(models)]


@contextlib.contextmanager
def serve(program, models, *, name="halkspeech", prefix=(), arguments=(), ready="/ready", **settings):
    """Runs a HalkSpeech server on a free port, with the settings, while the block runs."""
    port = free_port()
    line = command(program, models, port, prefix=prefix, arguments=arguments)
    with running_server(name, line, environment(**settings), f"http://127.0.0.1:{port}", ready) as server:
        yield server


@contextlib.contextmanager
def halkspeech(program, models, **settings):
    """Runs a HalkSpeech server for measurements, by default with the model base and int8; yields its address."""
    settings = {"WHISPER__COMPUTE_TYPE": "int8", "WHISPER__MODEL": "base"} | settings
    with serve(program, models, **settings) as server:
        yield server.url


@contextlib.contextmanager
def serving(name, command, env, url, ready):
    """Runs a server while the block runs; yields its address. See `running_server`."""
    with running_server(name, command, env, url, ready) as server:
        yield server.url


@contextlib.contextmanager
def running_server(name, command, env, url, ready):
    """Runs a server while the block runs. Its log is kept, and the end of it is printed after an error."""
    log = os.path.join(log_folder(), f"{name}-{url.rsplit(':', 1)[1]}.log")
    with open(log, "wb") as out:
        # A separate session: ctrl-c reaches only this script, which then stops the server and its workers.
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                   start_new_session=True)
    server = Server(url, process, log)
    _running.append(server)
    try:
        wait_until_ready(process, url + ready)
        yield server
    except Exception:
        print(f"the end of {log}:\n" + "\n".join(server.log_text().splitlines()[-30:]), file=sys.stderr)
        raise
    finally:
        stop(process)
        _running.remove(server)


def running_servers():
    """The servers that are running."""
    return list(_running)


def stop(process):
    """Ends a process with a separate session, and its children."""
    for number, timeout_s in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
            return


def end_on_sigterm():
    """Makes SIGTERM unwind the script as ctrl-c does, so that servers are stopped."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def log_folder():
    """The folder of the logs of this run."""
    if not hasattr(log_folder, "path"):
        log_folder.path = tempfile.mkdtemp(prefix="halkspeech-logs-")
    return log_folder.path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post_file(url, path, fields):
    """Sends a file as a bare body; returns the open response."""
    query = urllib.parse.urlencode(fields, doseq=True)
    with open(path, "rb") as file:
        request = urllib.request.Request(f"{url}/v1/audio/transcriptions?{query}", file.read(),
                                         {"Content-Type": "application/octet-stream"})
    return urllib.request.urlopen(request)


def transcribe_file(url, path, fields):
    with post_file(url, path, fields) as response:
        return json.load(response)["text"]


def metrics(url):
    """A HalkSpeech server's metrics by name, labels included: {'halkspeech_batch_windows_sum': 12.0, …}."""
    with urllib.request.urlopen(url + "/metrics", timeout=30) as response:
        lines = response.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] not in ("", "#"))}


def metrics_increase(before, after):
    """The increase of each metric between two readings."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def mean_batch(increase):
    """Mean number of windows per batch; 0 without batches."""
    return increase["halkspeech_batch_windows_sum"] / max(1.0, increase["halkspeech_batch_windows_count"])


def histogram_quantile(increase, name, share):
    """The value below which a share of a histogram's observations lies; 0 without observations.

    Interpolates linearly within a bucket, as Prometheus does.
    """
    prefix = name + '_bucket{le="'
    buckets = sorted((float(key.removeprefix(prefix).removesuffix('"}')), count)
                     for key, count in increase.items() if key.startswith(prefix))
    rank, lower, below = share * buckets[-1][1] if buckets else 0.0, 0.0, 0.0
    for upper, count in buckets:
        if count >= rank > 0:
            return lower if math.isinf(upper) else lower + (upper - lower) * (rank - below) / (count - below)
        lower, below = upper, count
    return 0.0


ENGINE_FIGURES = ("mean_batch", "engine_s", "decode_s", "windows_repeated", "audio_frames", "padding_frames")


def engine_figures(increase):
    """The work of the engines: batches, total seconds, frames encoded."""
    frames = 'halkspeech_encoder_frames_total{kind="%s"}'
    names = ("halkspeech_inference_seconds_sum", "halkspeech_decode_seconds_sum", "halkspeech_windows_repeated_total",
             frames % "audio", frames % "padding")
    return dict(zip(ENGINE_FIGURES, (mean_batch(increase), *(increase.get(name, 0.0) for name in names))))


def wait_until_ready(process, url, timeout_s=120):
    """Waits until a server answers with 200."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
            if response.status == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer within {timeout_s} s")
