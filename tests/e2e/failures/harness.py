"""What every provoked fault needs: servers under limits, a caller, a disk of a given size, rows of the table."""
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

MODEL = "tiny.en"                 # small, so that it is loaded often
PULLED = "test/whisper-tiny.en"   # the same, as the stand-in of the hub has it
MIB = 2**20
NOBODY = 65534
COLUMNS = ("fault", "what the caller saw", "what the log said", "how it recovered")
WORTH_TELLING = re.compile(r"\b(ERROR|WARN) (.*)|^(halkspeech: .*)|(.*panicked at.*)|(.*terminate called.*)"
                           r"|(memory allocation of.*)|(libgomp: .*)")


@dataclass(frozen=True)
class Row:
    """What came of one fault, as docs/operations.md tells it."""
    fault: str
    caller: str
    log: str
    recovery: str


@dataclass
class Bench:
    """Starts servers with the model tiny.en, under limits where a fault wants them, and asks them things."""
    program: Path
    models: Path
    sample: Path
    folder: Path            # every user may read what is in it
    rows: list = field(default_factory=list)

    def note(self, fault, caller, log, recovery):
        """Keeps a row of the table."""
        self.rows.append(Row(fault, caller, log, recovery))

    def fresh(self, name):
        """An empty folder that everybody may read."""
        path = self.folder / name
        path.mkdir()
        path.chmod(0o755)
        return path

    def copy_of(self, model, into):
        """A copy of a model that may be damaged; its folder."""
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

    def fails(self, prefix=(), models=None, port=None, host="127.0.0.1", **settings):
        """A server that is not expected to start; its exit status and its log. Status None: it ran on and was ended."""
        process = subprocess.Popen(self.command(port or servers.free_port(), prefix, models, host), text=True,
                                   env=self.environment(**settings), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            said, _ = process.communicate(timeout=60)
            return process.returncode, said
        except subprocess.TimeoutExpired:
            servers.stop(process)
            return None, process.communicate()[0]
        finally:
            if process.poll() is None:
                servers.stop(process)

    def hub(self):
        """A hub that has the small model."""
        return fake_hub.serving({PULLED: self.models / MODEL})

    def transcribe(self, url, model=MODEL, path=None):
        """Without second tries, of which the long recording would have many: it says the same again and again."""
        audio = (path or self.sample).read_bytes()
        return call(f"{url}/v1/audio/transcriptions?model={model}&temperature=[0]", audio, timeout=120)

    def serves(self, url, model=MODEL):
        """Whether a transcription is answered with its words."""
        status, said = self.transcribe(url, model)
        return status == 200 and "ask not" in said

    def long_recording(self, times=30):
        """The sample said so often: 30 times are five minutes and a half, ten megabytes."""
        path = self.folder / f"long-{times}.wav"
        path.write_bytes(speech.repeated(self.sample, times))
        return path


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
    """The errors and warnings of a log, each once, without time stamps; "nothing" where there are none."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in log.splitlines()]
    kept = []
    for line in lines:
        found = WORTH_TELLING.search(line)
        if found:
            text = next(part for part in found.groups()[1:] if part)
            text = re.sub(r"^(request\{.*?\}: )?(\w+::)*\w+: ", "", text)
            text = re.sub(r"/tmp/halkspeech-e2e-\w+/\S*?/", "…/", text)
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
    return "panicked" not in server.log_text()


@contextlib.contextmanager
def tmpfs(folder, mib):
    """A disk of so many MiB in that folder while the block runs."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=777", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


def grow(folder, mib):
    """Makes room on a disk of `tmpfs`."""
    subprocess.run(["mount", "-o", f"remount,size={mib}m", folder], check=True)


def fill(path, piece):
    """Writes to a file until its disk is full."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(piece))


def as_nobody():
    return ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")


def inside(url):
    """Requests that the server works on."""
    return servers.metrics(url)["halkspeech_requests_in_flight"]


def until(holds, patience_s=20):
    end = time.monotonic() + patience_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)


def table(rows):
    """Markdown, a row a fault."""
    def line(cells):
        return "| " + " | ".join(str(cell).replace("|", "/").replace("\n", " ") for cell in cells) + " |"

    body = [line((row.fault, row.caller, row.log, row.recovery)) for row in rows]
    return "\n".join([line(COLUMNS), "|" + "---|" * len(COLUMNS), *body]) + "\n"
