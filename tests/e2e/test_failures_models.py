"""Faults of models: damaged, inaccessible, too large for the memory, killed while loading."""
import os
import re
import shutil
import subprocess
import time

import pytest

import needs
import servers
from failures.harness import MIB, MODEL, as_nobody, call, has_no_panic, listed_models, log_problems, response_text

RELIST_S = 11  # the server lists the models on disk every ten seconds
KILL_DELAYS_S = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
# Address space in addition to that of the program: small steps around the size at which the model just fits, where an
# allocation of oneDNN fails first.
EXTRA_MIB = (60, *range(180, 261, 4), 400)
# Messages of the C++ libraries that have no memory, before they end the process.
LAST_MESSAGES = ("Out of memory", "Thread creation failed", "terminate called")


def write(path, at, content):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(content)


# Damages of a model's files.
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


def test_a_start_after_kill_9_while_a_model_loads_is_clean(harness):
    for moment in KILL_DELAYS_S:
        process = subprocess.Popen(harness.command(servers.free_port()), env=harness.environment(),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        process.kill()
        process.wait()
    with harness.serve("after-kills") as server:
        assert harness.transcribes(server.url)
        assert has_no_panic(server)
    harness.add_row(f"`kill -9` while a model loads, {len(KILL_DELAYS_S)} times", "connection refused",
                    "nothing: the process is gone", "the next start is clean: 200")


@pytest.mark.slow
@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_model(harness, what):
    """At the start, and by a request to a running server; a complete copy in its place is served."""
    models = harness.new_folder("damaged")
    DAMAGES[what](harness.copy_model(MODEL, models))
    code, log = harness.run_to_exit(models=models, PRELOAD_MODELS=MODEL)
    assert code == 1
    assert "panicked" not in log
    with harness.serve("damaged", models=models, WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
        response = harness.transcribe(server.url)
        assert response[0] in (404, 503)
        shutil.rmtree(models / MODEL)
        shutil.copytree(harness.models / MODEL, models / f".{MODEL}")
        os.rename(models / f".{MODEL}", models / MODEL)
        time.sleep(RELIST_S)
        assert harness.transcribes(server.url)
        assert has_no_panic(server)
        harness.add_row(what, f"{response_text(response)} At the start, with the model in `PRELOAD_MODELS`: exit "
                              f"status {code}",
                        f"{log_problems(log)}; at a request: {log_problems(server.log_text())}",
                        "with a whole copy in its place, within ten seconds: 200")


@pytest.mark.slow
def test_a_model_that_is_damaged_under_a_server(harness):
    """After it was listed and before it is loaded, and while it is loaded."""
    models = harness.new_folder("damaged-later")
    weights = harness.copy_model(MODEL, models) / "model.bin"
    with harness.serve("damaged-later", models=models, WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
        os.truncate(weights, weights.stat().st_size // 2)
        response = harness.transcribe(server.url)
        assert response[0] in (404, 503)
        log = log_problems(server.log_text())
        shutil.copy(harness.models / MODEL / "model.bin", weights)
        time.sleep(RELIST_S)
        assert harness.transcribes(server.url)
        assert has_no_panic(server)
        harness.add_row("model.bin cut in half after it was listed, before it is loaded", response_text(response), log,
                        "repaired: 200")

        shutil.rmtree(models / MODEL)
        assert harness.transcribes(server.url), "it is still loaded"
        time.sleep(RELIST_S)
        assert MODEL not in listed_models(server.url)
        call(f"{server.url}/api/ps/{MODEL}", method="DELETE")
        after = harness.transcribe(server.url)
        assert after[0] == 404
        harness.add_row("the folder of a loaded model is removed",
                        f"200 while it is loaded; once it is unloaded: {response_text(after)[:80]}…", "`model gone`",
                        "it is gone from the listing within ten seconds")


def missing_folder(harness):
    """A folder of models that does not exist, and a function that repairs it."""
    models = harness.folder / "not-there"
    return models, lambda: harness.copy_model(MODEL, models)


def unreadable_folder(harness):
    models = harness.new_folder("closed")
    harness.copy_model(MODEL, models)
    models.chmod(0o700)
    return models, lambda: models.chmod(0o755)


def unreadable_weights(harness):
    models = harness.new_folder("unreadable")
    weights = harness.copy_model(MODEL, models) / "model.bin"
    weights.chmod(0o600)
    return models, lambda: weights.chmod(0o644)


INACCESSIBLE = {
    "`MODELS_DIR` does not exist": missing_folder,
    "`MODELS_DIR` may not be read": unreadable_folder,
    "`model.bin` may not be read": unreadable_weights,
}


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("what", INACCESSIBLE)
def test_inaccessible_models(harness, what):
    """As another user, since root may read everything. The server starts, and serves after the repair."""
    models, repair = INACCESSIBLE[what](harness)
    with harness.serve("models-folder", prefix=as_nobody(), models=models) as server:
        response, log = harness.transcribe(server.url), log_problems(server.log_text())
        assert response[0] == 404
        repair()
        time.sleep(RELIST_S)
        assert harness.transcribes(server.url)
        harness.add_row(what, response_text(response), log, "put right, within ten seconds: 200")


@pytest.fixture(scope="module")
def base_bytes(module_harness):
    """The address space of a server without a model."""
    with module_harness.serve("memory-free", WHISPER__PRELOAD_MODEL="false", ready="/health") as server, \
            open(f"/proc/{server.process.pid}/status", encoding="utf-8") as lines:
        return int(re.search(r"VmSize:\s+(\d+)", lines.read())[1]) * 1024


@pytest.mark.slow
@pytest.mark.parametrize("extra_mib", EXTRA_MIB)
def test_address_space_too_small_for_the_model_or_for_inference(harness, base_bytes, extra_mib):
    """An error, or the end of the process with the reason in the log; with more memory the request succeeds.

    The C++ libraries end the process where they cannot return an error.
    """
    needs.command("prlimit")
    # The soft limit alone, so that it can be raised again.
    limited = ("prlimit", f"--as={base_bytes + extra_mib * MIB}:")
    with harness.serve("little-memory", limited, WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
        response = harness.transcribe(server.url)
        time.sleep(0.5)
        code, log = server.process.poll(), log_problems(server.log_text())
        recovery = "nothing was wrong"
        if code is not None:
            assert any(message in log for message in LAST_MESSAGES), log
            recovery = f"the process ended with {code}: it has to be started again"
        elif response[0] == 200:
            assert "ask not" in response[1]
        else:
            assert response[0] in (500, 503)
            subprocess.run(["prlimit", "--as=unlimited:", "--pid", str(server.process.pid)], check=True)
            call(f"{server.url}/api/ps/{MODEL}", b"", "POST")
            assert harness.transcribes(server.url)
            recovery = "with more memory: 200"
        harness.add_row(f"no memory for the model (`prlimit --as`: {extra_mib} MiB more than the program takes)",
                        response_text(response), log, recovery)
