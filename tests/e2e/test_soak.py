"""A server stays as it is under mixed traffic for an hour: good requests, bad ones, callers that leave, models that go.

The server has a key and small bounds, and models that are unloaded as soon as nobody uses them. `--soak minutes=N` sets
how long it takes. With --url a server that runs already is soaked: its key is $OPENAI_API_KEY, `--soak capacity=N` and
the like tell its bounds, and the checks of its log and its end are left out.
"""
import asyncio
import json
import os
import pathlib
import tempfile

import pytest

import needs
import servers
from soaking.plan import Plan
from soaking.report import as_json, markdown
from soaking.run import run, settings_of, target_of

CHECKS = {
    "answers": "each request that was sent whole got exactly one answer, of a status that it was made for, errors in "
               "OpenAI's shape, 429 and 503 with retry-after; 5xx only where they were provoked",
    "texts": "a clip has one text for one wish, whoever else was there",
    "overload": "some requests met a full server and were told so",
    "memory": "resident memory, open files and threads at quiet points do not grow from the second sixth to the last",
    "gauges": "nothing is left in the server whenever the traffic stops",
    "models": "none failed to load",
    "log": "no error and no panic but provoked ones",
    "stop": "SIGTERM under load: running requests are answered, the exit status is 0",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


@pytest.fixture(scope="module")
def plan(pytestconfig, sample, short):
    """What --soak changes of an hour with the recordings, where there are any."""
    minutes = {"minutes": 5} if short else {}
    usual = Plan(sample=sample, manifest=manifest(), **minutes)
    if pytestconfig.getoption("--url") and (key := os.environ.get("OPENAI_API_KEY")):
        usual = usual.changed([f"key={key}"])
    return usual.changed(pytestconfig.getoption("--soak"))


def manifest():
    """The list of the recordings; none where HALKSPEECH_RECORDINGS names no folder and they are not required."""
    is_named = bool(os.environ.get("HALKSPEECH_RECORDINGS"))
    return needs.recordings_manifest() if is_named or needs.is_required("recordings") else None


@pytest.fixture(scope="module")
def outcome(request, pytestconfig, plan):
    """What came of the soak, which is written down before it is judged."""
    url = pytestconfig.getoption("--url")
    with tempfile.TemporaryDirectory(prefix="halkspeech-soak-") as folder:
        folder = pathlib.Path(folder)
        if url:
            found = asyncio.run(run(target_of(url.rstrip("/"), plan), plan, folder))
        else:
            program, models = request.getfixturevalue("program"), request.getfixturevalue("models_dir")
            config, settings = settings_of(plan, folder)
            with servers.serve(program, models, name="soak", arguments=("--config", config), **settings) as server:
                found = asyncio.run(run(target_of(server.url, plan), plan, folder, server))
    write_down(found, pytestconfig.getoption("--soak-out"))
    return found


def write_down(found, folder):
    """Prints the report and, where a folder is named, writes it for people and for programs."""
    print(markdown(found))
    if folder:
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "soak.md").write_text(markdown(found), encoding="utf-8")
        (folder / "soak.json").write_text(json.dumps(as_json(found), indent=1, ensure_ascii=False), encoding="utf-8")


@pytest.mark.parametrize("name", CHECKS)
def test_soak(outcome, name):
    """What CHECKS says."""
    found = {check: (holds, seen) for check, holds, seen in outcome.checks}
    if name not in found:
        pytest.skip("only for a server that this run started")
    holds, seen = found[name]
    assert holds, f"not so: {CHECKS[name]}. Seen: {seen}. Faults: {outcome.soak.ledger.faults[:30]}"
