"""Faults of models: damaged, out of reach, too large for the memory, killed while they are loaded."""
import os
import re
import shutil
import subprocess
import time

import servers
from failures.bench import MIB, MODEL, Row, as_nobody, call, clean, listed, overwrite, shown, told


def killed_while_loading(bench):
    moments = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
    for moment in moments:
        process = subprocess.Popen(bench.command(servers.free_port()), env=bench.environment({}),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        process.kill()
        process.wait()
    with bench.serve("after kills") as server:
        good = bench.serves(server.url) and clean(server)
        return [Row(f"`kill -9` while a model loads, {len(moments)} times", "connection refused",
                    "nothing: the process is gone", "the next start is clean: 200", good)]


def damages(folder):
    """What is done to a model's files, by name."""
    weights = os.path.join(folder, "model.bin")

    def truncate():
        os.truncate(weights, os.path.getsize(weights) // 2)

    def write(at, content):
        with open(weights, "r+b") as file:
            file.seek(at)
            file.write(content)

    return {
        "model.bin cut in half": truncate,
        "model.bin empty": lambda: os.truncate(weights, 0),
        "model.bin with another header": lambda: write(0, b"\xff\xff\xff\xff"),
        "model.bin with another name of its kind": lambda: write(6, b"XXXXXX"),
        "vocabulary missing": lambda: os.remove(os.path.join(folder, "vocabulary.txt")),
        "vocabulary empty": lambda: os.truncate(os.path.join(folder, "vocabulary.txt"), 0),
        "tokenizer.json cut in half": lambda: os.truncate(os.path.join(folder, "tokenizer.json"), 100_000),
        "config.json no JSON": lambda: overwrite(os.path.join(folder, "config.json"), "{"),
    }


def damaged_model(bench):
    """At the start, and by a request to a server that runs already."""
    rows = []
    for what in damages(""):
        models = bench.fresh("damaged")
        damages(bench.copy_of(MODEL, models))[what]()
        code, log = bench.fails(models=models, PRELOAD_MODELS=MODEL)
        with bench.serve("damaged", models=models, WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
            saw = bench.transcribe(server.url)
            shutil.rmtree(os.path.join(models, MODEL))
            shutil.copytree(os.path.join(bench.models, MODEL), os.path.join(models, "." + MODEL))
            os.rename(os.path.join(models, "." + MODEL), os.path.join(models, MODEL))
            time.sleep(11)
            well = bench.serves(server.url)
            if not well:
                call(f"{server.url}/api/ps/{MODEL}", method="DELETE")
            quiet = clean(server) and "panicked" not in log
            rows.append(Row(what, f"{shown(saw)} At the start, with the model in `PRELOAD_MODELS`: exit status {code}",
                            f"{told(log)}; at a request: {told(server.said())}",
                            "with a whole copy in its place, within ten seconds: 200" if well else
                            f"with a whole copy in its place it fails on, until it is unloaded: "
                            f"{'200' if bench.serves(server.url) else 'no answer'}",
                            code == 1 and saw[0] in (404, 503) and well and quiet))
    return rows


def damaged_under_a_server(bench):
    """Between the listing and the loading; and while it is loaded."""
    models, rows = bench.fresh("damaged-later"), []
    weights = os.path.join(bench.copy_of(MODEL, models), "model.bin")
    with bench.serve("damaged later", models=models, WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
        size = os.path.getsize(weights)
        os.truncate(weights, size // 2)
        saw = bench.transcribe(server.url)
        log = told(server.said())
        shutil.copy(os.path.join(bench.models, MODEL, "model.bin"), weights)
        time.sleep(11)
        rows.append(Row("model.bin cut in half after it was listed, before it is loaded", shown(saw), log,
                        "repaired: 200", saw[0] in (404, 503) and bench.serves(server.url) and clean(server)))
        shutil.rmtree(os.path.join(models, MODEL))
        during = bench.serves(server.url)
        time.sleep(11)
        listing = listed(server.url)
        call(f"{server.url}/api/ps/{MODEL}", method="DELETE")
        after = bench.transcribe(server.url)
        rows.append(Row("the folder of a loaded model is removed",
                        f"200 while it is loaded; once it is unloaded: {shown(after)[:80]}…", "`model gone`",
                        "it is gone from the listing within ten seconds",
                        during and MODEL not in listing and after[0] == 404))
    return rows


def models_folder(bench):
    rows = []
    absent = os.path.join(bench.folder, "not-there")
    closed = bench.fresh("closed")
    bench.copy_of(MODEL, closed)
    os.chmod(closed, 0o700)
    unreadable = bench.fresh("unreadable")
    os.chmod(os.path.join(bench.copy_of(MODEL, unreadable), "model.bin"), 0o600)
    for what, models in (("`MODELS_DIR` does not exist", absent), ("`MODELS_DIR` may not be read", closed),
                         ("`model.bin` may not be read", unreadable)):
        with bench.serve("models folder", prefix=as_nobody(), models=models) as server:
            saw, log = bench.transcribe(server.url), told(server.said())
            if what.startswith("`MODELS_DIR` may"):
                os.chmod(closed, 0o755)
            elif "model.bin" in what:
                os.chmod(os.path.join(unreadable, MODEL, "model.bin"), 0o644)
            else:
                bench.copy_of(MODEL, absent)
            time.sleep(11)
            rows.append(Row(what, shown(saw), log, "put right, within ten seconds: 200",
                            saw[0] == 404 and bench.serves(server.url)))
            shutil.rmtree(absent, ignore_errors=True)
    return rows


def little_memory(bench):
    """Address spaces in which the program runs, and the model or its work do not fit."""
    with bench.serve("memory free", WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
        with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as lines:
            taken = int(re.search(r"VmSize:\s+(\d+)", lines.read())[1]) * 1024
    # In small steps about the size at which the model just fits, where oneDNN is the first to have none.
    rows = [_with_memory(bench, taken, more) for more in (60, *range(180, 261, 4), 400)]
    first = {(row.caller, row.log): row for row in reversed(rows)}
    return [row for row in rows if not row.holds or first[row.caller, row.log] is row]


def _with_memory(bench, taken, more_mib):
    """The C++ libraries end the process where they cannot tell of it; then the log has to say why."""
    # The soft limit alone, so that it can be raised again.
    limited = ("prlimit", f"--as={taken + more_mib * MIB}:")
    with bench.serve("little memory", limited, WHISPER__PRELOAD_MODEL="false", ready="/health") as server:
        saw = bench.transcribe(server.url)
        time.sleep(0.5)
        code, log = server.process.poll(), told(server.said())
        holds = saw[0] in (500, 503) or (saw[0] == 200 and "ask not" in saw[1])
        if code is not None:
            went_on = f"the process ended with {code}: it has to be started again"
            holds = any(why in log for why in ("Out of memory", "Thread creation failed", "terminate called"))
        elif saw[0] == 200:
            went_on = "nothing was wrong"
        else:
            subprocess.run(["prlimit", "--as=unlimited:", "--pid", str(server.process.pid)], check=True)
            call(f"{server.url}/api/ps/{MODEL}", b"", "POST")
            again = bench.serves(server.url)
            went_on, holds = f"with more memory: {'200' if again else 'no answer'}", holds and again
        return Row(f"no memory for the model (`prlimit --as`: {more_mib} MiB more than the program takes)", shown(saw),
                   log, went_on, holds)


FAULTS = (killed_while_loading, damaged_model, damaged_under_a_server, models_folder, little_memory)
