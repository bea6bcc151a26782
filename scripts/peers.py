"""faster-whisper-server and faster-whisper's batched pipeline, the peers that compare_peers.py measures.

The pipeline runs in a separate process (this file is its program), so that both peers get the same environment: two
OpenMP threads, no settings of math libraries.
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

REQUIRED_VERSIONS = {"faster-whisper": "1.2.1", "faster-whisper-server": "0.0.3"}
THREADS = 2
BATCH_SIZE = 8

# Ways to call the pipeline, with the arguments of WhisperModel. With "one by one" requests run sequentially.
PIPELINE_WAYS = {
    "one by one": {"num_workers": 1, "cpu_threads": THREADS},
    "all at once": {"num_workers": 1, "cpu_threads": THREADS},
    "all at once, 2 workers of 1 thread": {"num_workers": 2, "cpu_threads": 1},
}
# Ways to run the server: processes, and threads of each.
SERVER_WAYS = {"1 process of 2 threads": (1, 2), "2 processes of 1 thread": (2, 1)}


def require():
    """Ends the script with the packages to install if a peer is missing."""
    missing = []
    for package, version in REQUIRED_VERSIONS.items():
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found = None
        if found is None:
            missing.append(f"{package}=={version}")
        elif found != version:
            print(f"{package} is {found}; {version} is expected", file=sys.stderr)
    if missing:
        sys.exit("the peers are missing: pip install " + " ".join(missing) + " aiohttp numpy")


def versions():
    return {package: importlib.metadata.version(package) for package in (*REQUIRED_VERSIONS, "ctranslate2")}


@contextlib.contextmanager
def server(model_dir, beam, way):
    """faster-whisper-server, with its batched pipeline enabled by its configuration file; yields its address."""
    processes, threads = SERVER_WAYS[way]
    config = {"batch_size": BATCH_SIZE,
              "model_options": {"device": "cpu", "compute_type": "int8", "cpu_threads": threads},
              "models": [{"name": "base", "path": model_dir, "transcribe_options": {"beam_size": beam}}]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=log_folder(), delete=False) as file:
        json.dump(config, file)  # JSON is valid YAML
    port = free_port()
    command = [sys.executable, "-m", "faster_whisper_server", "--config", file.name, "--host", "127.0.0.1",
               "--port", str(port), "--workers", str(processes)]
    with serving("faster-whisper-server", command, environment(OMP_NUM_THREADS=THREADS),
                 f"http://127.0.0.1:{port}", "/health") as url:
        yield url


class Pipeline:
    """Sends jobs to the process that runs the pipeline, as lines of JSON, and reads the results."""

    def __init__(self, process):
        self._process = process

    def run(self, clips, **options):
        """Returns [[number of the clip, seconds, text], …] and the total seconds."""
        job = {"clips": [[clip.path, clip.language] for clip in clips], **options}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the pipeline's process ended; its log is in {log_folder()}")
        result = json.loads(line)
        return result["answers"], result["wall_s"]


@contextlib.contextmanager
def pipeline(model_dir, beam):
    """faster-whisper's BatchedInferencePipeline, loaded, in its own process."""
    with open(os.path.join(log_folder(), "pipeline.log"), "wb") as log:
        process = subprocess.Popen([sys.executable, os.path.abspath(__file__), model_dir, str(beam)], text=True,
                                   env=environment(OMP_NUM_THREADS=THREADS), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=log, start_new_session=True)
    try:
        yield Pipeline(process)
    finally:
        stop(process)


def _transcribe(model_dir, beam):
    """The program of the pipeline's process: runs a job per line of input."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel
    shapes, pipelines = {}, {}
    for way, options in PIPELINE_WAYS.items():
        key = tuple(options.items())
        if key not in shapes:
            shapes[key] = BatchedInferencePipeline(
                WhisperModel(model_dir, device="cpu", compute_type="int8", **options))
        pipelines[way] = shapes[key]
    lock = threading.Lock()
    for line in sys.stdin:
        job = json.loads(line)
        gate = lock if job["way"] == "one by one" else contextlib.nullcontext()
        print(json.dumps(_run_job(job, pipelines[job["way"]], beam, gate)), flush=True)


def _run_job(job, pipeline, beam, gate):
    """Runs the callers of a job, whose calls hold `gate`; returns their answers and the total time."""
    clips = job["clips"]
    turns = ClipSequence(len(clips), job["seconds"], job["whole_passes"])
    answers, failures = [], []

    def caller():
        try:
            while (number := turns.take()) is not None:
                path, language = clips[number]
                start_s = time.perf_counter()
                with gate:
                    segments, _ = pipeline.transcribe(path, language=language, beam_size=beam, batch_size=BATCH_SIZE)
                    text = "".join(segment.text for segment in segments).strip()
                answers.append([number, time.perf_counter() - start_s, text])
        except Exception as error:
            failures.append(error)

    start = time.perf_counter()
    threads = [threading.Thread(target=caller) for _ in range(job["callers"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return {"answers": answers, "wall_s": time.perf_counter() - start}


if __name__ == "__main__":
    _transcribe(sys.argv[1], int(sys.argv[2]))
