"""What every provoked fault needs: servers under limits, a caller, a disk of a given size, rows of the table."""
import contextlib
import json
import os
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request
import wave
from dataclasses import dataclass

import servers
from failures import hub_standin

MODEL = "tiny.en"                 # small, so that it is loaded often
PULLED = "test/whisper-tiny.en"   # the same, as the stand-in of the hub has it
MIB = 2**20
NOBODY = 65534
WORTH_TELLING = re.compile(r"\b(ERROR|WARN) (.*)|^(halkspeech: .*)|(.*panicked at.*)|(.*terminate called.*)"
                           r"|(memory allocation of.*)|(libgomp: .*)")


@dataclass(frozen=True)
class Row:
    fault: str
    caller: str
    log: str
    recovery: str
    holds: bool


class Bench:
    """Starts servers in a folder of their own, under limits where a fault wants them, and asks them things."""

    def __init__(self, binary, models, sample, folder):
        self.binary, self.models, self.sample, self.folder = binary, models, sample, folder
        self.runs = 0

    def fresh(self, name):
        """An empty folder that everybody may read."""
        self.runs += 1
        path = os.path.join(self.folder, f"{self.runs:02}-{name}")
        os.makedirs(path)
        os.chmod(path, 0o755)
        return path

    def copy_of(self, model, into):
        """A copy of a model that may be damaged; its folder."""
        return shutil.copytree(os.path.join(self.models, model), os.path.join(into, model))

    def command(self, port, prefix=(), models=None, host="127.0.0.1"):
        return [*prefix, self.binary, "serve", "--host", host, "--port", str(port),
                "--models-dir", models or self.models]

    def environment(self, more):
        usual = {"WHISPER__MODEL": MODEL, "WHISPER__NUM_WORKERS": 1, "WHISPER__COMPUTE_TYPE": "int8",
                 "HF_HUB_CACHE": os.path.join(self.folder, "no-hub"), "HF_ENDPOINT": "http://127.0.0.1:9",
                 "HF_HUB_DOWNLOAD_TIMEOUT": 5}
        return servers.environment(**(usual | more))

    @contextlib.contextmanager
    def serve(self, name, prefix=(), models=None, ready="/ready", **settings):
        """A server that runs while the block runs."""
        port = servers.free_port()
        with servers.running(name.replace(" ", "-"), self.command(port, prefix, models), self.environment(settings),
                             f"http://127.0.0.1:{port}", ready) as server:
            yield server

    def fails(self, prefix=(), models=None, port=None, host="127.0.0.1", **settings):
        """A server that is not expected to start; its exit status and its log. Status None: it ran on and was ended."""
        process = subprocess.Popen(self.command(port or servers.free_port(), prefix, models, host), text=True,
                                   env=self.environment(settings), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            said, _ = process.communicate(timeout=60)
            return process.returncode, said
        except subprocess.TimeoutExpired:
            servers.stop(process)
            return None, process.communicate()[0]

    def hub(self):
        """A hub that has the small model."""
        return hub_standin.serving({PULLED: os.path.join(self.models, MODEL)})

    def transcribe(self, url, model=MODEL, path=None):
        """Without second tries, of which the long recording would have many: it says the same again and again."""
        with open(path or self.sample, "rb") as file:
            return call(f"{url}/v1/audio/transcriptions?model={model}&temperature=[0]", file.read(), timeout=120)

    def serves(self, url, model=MODEL):
        """Whether a transcription is answered with its words."""
        status, said = self.transcribe(url, model)
        return status == 200 and "ask not" in said


def call(url, body=None, method=None, timeout=120):
    """The status and what was said; of an error its message. Status 0 where there was no answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        said = error.read().decode(errors="replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(said)["error"]["message"]
        return error.code, said
    except OSError as error:
        return 0, f"no answer: {getattr(error, 'reason', error)}"


def in_background(work, *arguments, **more):
    """Runs it in a thread; call what is returned for its result."""
    result = []
    thread = threading.Thread(target=lambda: result.append(work(*arguments, **more)), daemon=True)
    thread.start()

    def wait():
        thread.join(120)
        return result[0] if result else (0, "nothing within 120 s")
    return wait


def told(log):
    """The errors and warnings of a log, each once, without time stamps; the last line where there are none."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.splitlines()]
    kept = []
    for line in lines:
        found = WORTH_TELLING.search(line)
        if found:
            text = next(part for part in found.groups()[1:] if part)
            text = re.sub(r"^(request\{.*?\}: )?(\w+::)*\w+: ", "", text)
            text = re.sub(r"/tmp/halkspeech-failures-\w+/\S*?/", "…/", text)
            if text not in kept:
                kept.append(text)
    return "; ".join(kept) or "nothing"


def shown(answer):
    """An answer without what is another one each time."""
    status, said = answer
    return re.sub(r" Request id: [\w-]+", "", f"{status or ''} {said}").strip()


def listed(url):
    models = json.loads(call(f"{url}/v1/models")[1])["data"]
    return [model["id"] for model in models if "alias_of" not in model]


def clean(server):
    """Whether no panic is in the log."""
    return "panicked" not in server.said()


@contextlib.contextmanager
def tmpfs(folder, mib):
    """A disk of so many MiB in that folder while the block runs."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=777", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def as_nobody():
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def inside(url):
    return servers.metrics(url)["halkspeech_requests_in_flight"]


def until(holds, patience_s=20):
    until = time.monotonic() + patience_s
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)


def long_recording(bench, times=30):
    """The sample said so often: 30 times are five minutes and a half, ten megabytes."""
    path = os.path.join(bench.folder, f"long-{times}.wav")
    if not os.path.exists(path):
        with wave.open(bench.sample) as source, wave.open(path, "wb") as target:
            target.setparams(source.getparams())
            frames = source.readframes(source.getnframes())
            for _ in range(times):
                target.writeframes(frames)
    return path


def overwrite(path, content):
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
