"""faster-whisper-server and faster-whisper's batched pipeline, as peers to be measured beside a HalkSpeech server.

The pipeline runs in a process of its own (this file is its program), so that both peers get the same clean
environment: two OpenMP threads, no settings of math libraries.
"""
import contextlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

from load import ClipSequence
from servers import environment, free_port, log_folder, serving, stop

WANTED = {"faster-whisper": "1.2.1", "faster-whisper-server": "0.0.3"}
THREADS = 2
BATCH_SIZE = 8

# Ways to call the pipeline, by what WhisperModel is given. With "one by one" a request waits until the last is done.
PIPELINE_WAYS = {
    "one by one": {"num_workers": 1, "cpu_threads": THREADS},
    "all at once": {"num_workers": 1, "cpu_threads": THREADS},
    "all at once, 2 workers of 1 thread": {"num_workers": 2, "cpu_threads": 1},
}
# Ways to run the server: its processes, and threads of each.
SERVER_WAYS = {"1 process of 2 threads": (1, 2), "2 processes of 1 thread": (2, 1)}


def require():
    """Ends the script with what is to be installed, when a peer is missing."""
    missing = []
    for package, version in WANTED.items():
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found = None
        if found is None:
            missing.append(f"{package}=={version}")
        elif found != version:
            print(f"{package} is {found}; {version} was meant", file=sys.stderr)
    if missing:
        sys.exit("the peers are missing: pip install " + " ".join(missing) + " aiohttp numpy")


def versions():
    return {package: importlib.metadata.version(package) for package in (*WANTED, "ctranslate2")}


@contextlib.contextmanager
def server(model_dir, beam, way):
    """faster-whisper-server, its batched pipeline switched on by its configuration file; its address."""
    processes, threads = SERVER_WAYS[way]
    config = {"batch_size": BATCH_SIZE,
              "model_options": {"device": "cpu", "compute_type": "int8", "cpu_threads": threads},
              "models": [{"name": "base", "path": model_dir, "transcribe_options": {"beam_size": beam}}]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=log_folder(), delete=False) as file:
        json.dump(config, file)  # JSON is YAML too
    port = free_port()
    command = [sys.executable, "-m", "faster_whisper_server", "--config", file.name, "--host", "127.0.0.1",
               "--port", str(port), "--workers", str(processes)]
    with serving("faster-whisper-server", command, environment(OMP_NUM_THREADS=THREADS),
                 f"http://127.0.0.1:{port}", "/health") as url:
        yield url


class Pipeline:
    """Talks to the process that runs the pipeline: a line of JSON there, a line back."""

    def __init__(self, process):
        self._process = process

    def run(self, clips, **how):
        """[[number of the clip, seconds, text], …] and the seconds all of it took."""
        order = {"clips": [[clip.path, clip.language] for clip in clips], **how}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the pipeline's process ended; its log is in {log_folder()}")
        result = json.loads(line)
        return result["answers"], result["wall_s"]


@contextlib.contextmanager
def pipeline(model_dir, beam):
    """faster-whisper's BatchedInferencePipeline, loaded and waiting."""
    with open(os.path.join(log_folder(), "pipeline.log"), "wb") as log:
        process = subprocess.Popen([sys.executable, os.path.abspath(__file__), model_dir, str(beam)], text=True,
                                   env=environment(OMP_NUM_THREADS=THREADS), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    try:
        yield Pipeline(process)
    finally:
        stop(process)


def _transcribe(model_dir, beam):
    """The program of the pipeline's process: an order a line, until there is no more."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel
    shapes, pipelines = {}, {}
    for way, options in PIPELINE_WAYS.items():
        key = tuple(options.items())
        if key not in shapes:
            shapes[key] = BatchedInferencePipeline(
                WhisperModel(model_dir, device="cpu", compute_type="int8", **options))
        pipelines[way] = shapes[key]
    alone = threading.Lock()
    for line in sys.stdin:
        order = json.loads(line)
        gate = alone if order["way"] == "one by one" else contextlib.nullcontext()
        print(json.dumps(_fulfil(order, pipelines[order["way"]], beam, gate)), flush=True)


def _fulfil(order, pipeline, beam, gate):
    """Runs the callers of an order, each of whose calls goes through `gate`; their answers and the time of all."""
    clips = order["clips"]
    turns = ClipSequence(len(clips), order["seconds"], order["whole_passes"])
    answers, failures = [], []

    def caller():
        try:
            while (number := turns.take()) is not None:
                path, language = clips[number]
                begun = time.perf_counter()
                with gate:
                    segments, _ = pipeline.transcribe(path, language=language, beam_size=beam, batch_size=BATCH_SIZE)
                    text = "".join(segment.text for segment in segments).strip()
                answers.append([number, time.perf_counter() - begun, text])
        except Exception as error:
            failures.append(error)

    start = time.perf_counter()
    threads = [threading.Thread(target=caller) for _ in range(order["callers"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {"answers": answers, "wall_s": time.perf_counter() - start}


if __name__ == "__main__":
    _transcribe(sys.argv[1], int(sys.argv[2]))
