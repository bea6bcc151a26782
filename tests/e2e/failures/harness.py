"""Shared by the tests of faults: servers with limits, requests, disks of a given size, rows of the table."""
import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import servers
import speech
from failures import fake_hub

MODEL = "tiny.en"                    # small, since it is loaded often
HUB_MODEL = "test/whisper-tiny.en"   # the same on the fake hub
MIB = 2**20
NOBODY_ID = 65534
COLUMNS = ("fault", "response", "log", "recovery")
LOG_PROBLEM = re.compile(r"\b(ERROR|WARN) (.*)|^(halkspeech: .*)|(.*panicked at.*)|(.*terminate called.*)"
                         r"|(memory allocation of.*)|(libgomp: .*)")


@dataclass(frozen=True)
class FaultRow:
    """The results of one fault, a row of the table in docs/operations.md."""
    fault: str
    response: str
    log: str
    recovery: str


@dataclass
class FaultHarness:
    """Starts servers with the model tiny.en, with limits where a fault needs them, and sends them requests."""
    program: Path
    models: Path
    sample: Path
    folder: Path            # readable by every user
    rows: list = field(default_factory=list)

    def add_row(self, fault, response, log, recovery):
        """Adds a row to the table."""
        self.rows.append(FaultRow(fault, response, log, recovery))

    def new_folder(self, name):
        """An empty folder that every user may read."""
        path = self.folder / name
        path.mkdir()
        path.chmod(0o755)
        return path

    def copy_model(self, model, into):
        """Copies a model, so that it can be damaged; returns its folder."""
        return Path(shutil.copytree(self.models / model, into / model))

    def command(self, port, prefix=(), models=None, host="127.0.0.1"):
        return servers.command(self.program, models or self.models, port, host, prefix)

    def settings(self, more):
        return {"WHISPER__MODEL": MODEL, "WHISPER__NUM_WORKERS": 1, "WHISPER__COMPUTE_TYPE": "int8",
                "HF_HUB_CACHE": self.folder / "no-hub", "HF_ENDPOINT": "http://127.0.0.1:9",
                "HF_HUB_DOWNLOAD_TIMEOUT": 5} | more

    def environment(self, **more):
        return servers.environment(**self.settings(more))

    def serve(self, name, prefix=(), models=None, ready="/ready", **settings):
        """A server that runs while the block runs."""
        return servers.serve(self.program, models or self.models, name=name, prefix=prefix, ready=ready,
                             **self.settings(settings))

    def run_to_exit(self, prefix=(), models=None, port=None, host="127.0.0.1", **settings):
        """Starts a server that should fail to start; returns its exit status (None: it had to be stopped) and log."""
        process = subprocess.Popen(self.command(port or servers.free_port(), prefix, models, host), text=True,
                                   env=self.environment(**settings), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=60)
            return process.returncode, output
        except subprocess.TimeoutExpired:
            servers.stop(process)
            return None, process.communicate()[0]
        finally:
            if process.poll() is None:
                servers.stop(process)

    def hub(self):
        """A fake hub that has the small model."""
        return fake_hub.serving({HUB_MODEL: self.models / MODEL})

    def transcribe(self, url, model=MODEL, path=None):
        """Transcribes without temperature fallback, which the repetitions of the long recording would cause."""
        audio = (path or self.sample).read_bytes()
        return call(f"{url}/v1/audio/transcriptions?model={model}&temperature=[0]", audio, timeout=120)

    def transcribes(self, url, model=MODEL):
        """Whether a transcription returns the words of the sample."""
        status, text = self.transcribe(url, model)
        return status == 200 and "ask not" in text

    def long_recording(self, times=30):
        """The sample repeated: 30 times are five minutes and a half, ten megabytes."""
        path = self.folder / f"long-{times}.wav"
        path.write_bytes(speech.repeated(self.sample, times))
        return path


def call(url, body=None, method=None, timeout=120):
    """Returns the status and the body, or the message of an error. Status 0: there was no answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        body = error.read().decode(errors="replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            body = json.loads(body)["error"]["message"]
        return error.code, body
    except OSError as error:
        return 0, f"no answer: {getattr(error, 'reason', error)}"


def in_background(work, *arguments, **more):
    """Runs a function in a thread; returns a function that waits for its result."""
    result = []
    thread = threading.Thread(target=lambda: result.append(work(*arguments, **more)), daemon=True)
    thread.start()

    def wait():
        thread.join(120)
        return result[0] if result else (0, "nothing within 120 s")
    return wait


def log_problems(log):
    """The errors and warnings of a log, each once, without time stamps; "nothing" if there are none."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.splitlines()]
    texts = []
    for line in lines:
        match = LOG_PROBLEM.search(line)
        if match:
            text = next(part for part in match.groups()[1:] if part)
            text = re.sub(r"^(request\{.*?\}: )?(\w+::)*\w+: ", "", text)
            text = re.sub(r"/tmp/halkspeech-e2e-\w+/\S*?/", "…/", text)
            if text not in texts:
                texts.append(text)
    return "; ".join(texts) or "nothing"


def response_text(answer):
    """The status and text of an answer, without its request id."""
    status, text = answer
    return re.sub(r" Request id: [\w-]+", "", f"{status or ''} {text}").strip()


def listed_models(url):
    models = json.loads(call(f"{url}/v1/models")[1])["data"]
    return [model["id"] for model in models if "alias_of" not in model]


def has_no_panic(server):
    """Whether the log has no panic."""
    return "panicked" not in server.log_text()


@contextlib.contextmanager
def tmpfs(folder, mib):
    """Mounts a disk of `mib` MiB on a folder while the block runs."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=777", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def resize_tmpfs(folder, mib):
    """Changes the size of a disk of `tmpfs`."""
    subprocess.run(["mount", "-o", f"remount,size={mib}m", folder], check=True)


def fill_disk(path, chunk_bytes):
    """Writes to a file until its disk is full."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(chunk_bytes))


def as_nobody():
    return ("setpriv", f"--reuid={NOBODY_ID}", f"--regid={NOBODY_ID}", "--clear-groups")


def requests_in_flight(url):
    """Number of requests that the server processes."""
    return servers.metrics(url)["halkspeech_requests_in_flight"]


def wait_until(condition, timeout_s=20):
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def table(rows):
    """A Markdown table with a row per fault."""
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in cells) + " |"

    body = [line((row.fault, row.response, row.log, row.recovery)) for row in rows]
    return "\n".join([line(COLUMNS), "|" + "---|" * len(COLUMNS), *body]) + "\n"
