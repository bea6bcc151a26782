"""Faults of models: damaged, out of reach, too large for the memory, killed while they are loaded."""
import os
import re
import shutil
import subprocess
import time

import pytest

import needs
import servers
from failures.harness import MIB, MODEL, as_nobody, call, clean, listed, shown, told

LISTED_ANEW_S = 11  # the models on disk are listed every ten seconds
KILLED_AFTER_S = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
# Address space beside what the program takes. In small steps about the size at which the model just fits, where oneDNN
# is the first to have none.
MORE_MIB = (60, *range(180, 261, 4), 400)
# How the C++ libraries say that there is no memory before they end the process.
SAID_AT_THE_END = ("Out of memory", "Thread creation failed", "terminate called")


def write(path, at, content):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(content)


# What is done to a model's files.
DAMAGES = {
    "model.bin cut in half": lambda model: os.truncate(model / "model.bin", (model / "model.bin").stat().st_size // 2),
    "model.bin empty": lambda model: os.truncate(model / "model.bin", 0),
    "model.bin with another header": lambda model: write(model / "model.bin", 0, b"\xff\xff\xff\xff"),
    "model.bin with another name of its kind": lambda model: write(model / "model.bin", 6, b"XXXXXX"),
    "vocabulary missing": lambda model: os.remove(model / "vocabulary.txt"),
    "vocabulary empty": lambda model: os.truncate(model / "vocabulary.txt", 0),
    "tokenizer.json cut in half": lambda model: os.truncate(model / "tokenizer.json", 100_000),
    "config.json no JSON": lambda model: (model / "config.json").write_text("{"),
}


def test_a_start_after_kill_9_while_a_model_loads_is_clean(bench):
    for moment in KILLED_AFTER_S:
        process = subprocess.Popen(bench.command(servers.free_port()), env=bench.environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        process.kill()
        process.wait()
    with bench.serve("after-kills") as server:
        assert bench.serves(server.url)
        assert clean(server)
    bench.note(f"`kill -9` while a model loads, {len(KILLED_AFTER_S)} times", "connection refused",
               "nothing: the process is gone", "the next start is clean: 200")


@pytest.mark.slow
@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_model(bench, what):
    """At the start, and by a request to a server that runs already; a whole copy in its place is served."""
    models = bench.fresh("damaged")
    DAMAGES[what](bench.copy_of(MODEL, models))
    code, log = bench.fails(models=models, PRELOAD_MODELS=MODEL)
    assert code == 1
    assert "panicked" not in log
    with bench.serve("damaged", models=models, WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
        saw = bench.transcribe(server.url)
        assert saw[0] in (404, 503)
        shutil.rmtree(models / MODEL)
        shutil.copytree(bench.models / MODEL, models / f".{MODEL}")
        os.rename(models / f".{MODEL}", models / MODEL)
        time.sleep(LISTED_ANEW_S)
        assert bench.serves(server.url)
        assert clean(server)
        bench.note(what, f"{shown(saw)} At the start, with the model in `PRELOAD_MODELS`: exit status {code}",
                   f"{told(log)}; at a request: {told(server.log_text())}",
                   "with a whole copy in its place, within ten seconds: 200")


@pytest.mark.slow
def test_a_model_that_is_damaged_under_a_server(bench):
    """Between the listing and the loading; and while it is loaded."""
    models = bench.fresh("damaged-later")
    weights = bench.copy_of(MODEL, models) / "model.bin"
    with bench.serve("damaged-later", models=models, WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
        os.truncate(weights, weights.stat().st_size // 2)
        saw = bench.transcribe(server.url)
        assert saw[0] in (404, 503)
        log = told(server.log_text())
        shutil.copy(bench.models / MODEL / "model.bin", weights)
        time.sleep(LISTED_ANEW_S)
        assert bench.serves(server.url)
        assert clean(server)
        bench.note("model.bin cut in half after it was listed, before it is loaded", shown(saw), log, "repaired: 200")

        shutil.rmtree(models / MODEL)
        assert bench.serves(server.url), "it is still loaded"
        time.sleep(LISTED_ANEW_S)
        assert MODEL not in listed(server.url)
        call(f"{server.url}/api/ps/{MODEL}", method="DELETE")
        after = bench.transcribe(server.url)
        assert after[0] == 404
        bench.note("the folder of a loaded model is removed",
                   f"200 while it is loaded; once it is unloaded: {shown(after)[:80]}…", "`model gone`",
                   "it is gone from the listing within ten seconds")


def absent_folder(bench):
    """A folder of models that does not exist, and what puts it right."""
    models = bench.folder / "not-there"
    return models, lambda: bench.copy_of(MODEL, models)


def closed_folder(bench):
    models = bench.fresh("closed")
    bench.copy_of(MODEL, models)
    models.chmod(0o700)
    return models, lambda: models.chmod(0o755)


def unreadable_weights(bench):
    models = bench.fresh("unreadable")
    weights = bench.copy_of(MODEL, models) / "model.bin"
    weights.chmod(0o600)
    return models, lambda: weights.chmod(0o644)


OUT_OF_REACH = {
    "`MODELS_DIR` does not exist": absent_folder,
    "`MODELS_DIR` may not be read": closed_folder,
    "`model.bin` may not be read": unreadable_weights,
}


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("what", OUT_OF_REACH)
def test_models_out_of_reach(bench, what):
    """As another user, for root may read everything. The server starts, and serves once it is put right."""
    models, put_right = OUT_OF_REACH[what](bench)
    with bench.serve("models-folder", prefix=as_nobody(), models=models) as server:
        saw, log = bench.transcribe(server.url), told(server.log_text())
        assert saw[0] == 404
        put_right()
        time.sleep(LISTED_ANEW_S)
        assert bench.serves(server.url)
        bench.note(what, shown(saw), log, "put right, within ten seconds: 200")


@pytest.fixture(scope="module")
def taken_bytes(module_bench):
    """The address space of a server without a model."""
    with module_bench.serve("memory-free", WHISPER__PRELOAD_MODEL="false", ready="/health") as server, \
            open(f"/proc/{server.process.pid}/status", encoding="utf-8") as lines:
        return int(re.search(r"VmSize:\s+(\d+)", lines.read())[1]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("more_mib", MORE_MIB)
def test_address_space_too_small_for_the_model_or_its_work(bench, taken_bytes, more_mib):
    """An error that is told, or the end of the process with the reason in the log; with more memory it is served.

    The C++ libraries end the process where they cannot tell of it.
    """
    needs.command("prlimit")
    # The soft limit alone, so that it can be raised again.
    limited = ("prlimit", f"--as={taken_bytes + more_mib * MIB}:")
    with bench.serve("little-memory", limited, WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
        saw = bench.transcribe(server.url)
        time.sleep(0.5)
        code, log = server.process.poll(), told(server.log_text())
        went_on = "nothing was wrong"
        if code is not None:
            assert any(why in log for why in SAID_AT_THE_END), log
            went_on = f"the process ended with {code}: it has to be started again"
        elif saw[0] == 200:
            assert "ask not" in saw[1]
        else:
            assert saw[0] in (500, 503)
            subprocess.run(["prlimit", "--as=unlimited:", "--pid", str(server.process.pid)], check=True)
            call(f"{server.url}/api/ps/{MODEL}", b"", "POST")
            assert bench.serves(server.url)
            went_on = "with more memory: 200"
        bench.note(f"no memory for the model (`prlimit --as`: {more_mib} MiB more than the program takes)", shown(saw),
                   log, went_on)
