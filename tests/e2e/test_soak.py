"""Mixed traffic for an hour: valid and invalid requests, callers that disconnect, models that are unloaded.

The server has a key and small limits, and models that are unloaded as soon as they are idle. `--soak minutes=N` sets
the duration. With --url a running server is used: its key is $OPENAI_API_KEY, `--soak capacity=N` and the like are its
limits, and the checks of its log and its shutdown are skipped.
"""
import asyncio
import json
import os
import pathlib
import tempfile

import pytest

import needs
import servers
from soak.plan import Plan
from soak.report import as_json, markdown
from soak.run import make_settings, make_target, run

CHECKS = {
    "answers": "each complete request got exactly one answer with an expected status, errors in "
               "OpenAI's shape, 429 and 503 with retry-after; 5xx only where they are expected",
    "texts": "a clip has one text for the same options, whatever the other traffic",
    "overload": "some requests met a full server and got 429",
    "memory": "resident memory, open files and threads at idle points do not grow from the second sixth to the last",
    "gauges": "the server has no open work whenever the traffic stops",
    "models": "none failed to load",
    "log": "no error and no panic except expected ones",
    "stop": "SIGTERM under load: running requests are answered, the exit status is 0",
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * 3600)]


@pytest.fixture(scope="module")
def plan(pytestconfig, sample, short):
    """An hour with the recordings, if available, changed by --soak."""
    minutes = {"minutes": 5} if short else {}
    plan = Plan(sample=sample, manifest=manifest(), **minutes)
    if pytestconfig.getoption("--url") and (key := os.environ.get("OPENAI_API_KEY")):
        plan = plan.with_options([f"key={key}"])
    return plan.with_options(pytestconfig.getoption("--soak"))


def manifest():
    """The list of the recordings; None if HALKSPEECH_RECORDINGS is not set and they are not required."""
    is_named = bool(os.environ.get("HALKSPEECH_RECORDINGS"))
    return needs.recordings_manifest() if is_named or needs.is_required("recordings") else None


@pytest.fixture(scope="module")
def outcome(request, pytestconfig, plan):
    """Runs the soak and writes its report before any check fails."""
    url = pytestconfig.getoption("--url")
    with tempfile.TemporaryDirectory(prefix="halkspeech-soak-") as folder:
        folder = pathlib.Path(folder)
        if url:
            result = asyncio.run(run(make_target(url.rstrip("/"), plan), plan, folder))
        else:
            program, models = request.getfixturevalue("program"), request.getfixturevalue("models_dir")
            config, settings = make_settings(plan, folder)
            with servers.serve(program, models, name="soak", arguments=("--config", config), **settings) as server:
                result = asyncio.run(run(make_target(server.url, plan), plan, folder, server))
    write_report(result, pytestconfig.getoption("--soak-out"))
    return result


def write_report(result, folder):
    """Prints the report, and writes it to the folder, if there is one, as Markdown and as JSON."""
    print(markdown(result))
    if folder:
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "soak.md").write_text(markdown(result), encoding="utf-8")
        (folder / "soak.json").write_text(json.dumps(as_json(result), indent=1, ensure_ascii=False), encoding="utf-8")


@pytest.mark.parametrize("name", CHECKS)
def test_soak(outcome, name):
    """One of CHECKS."""
    found = {check: (holds, description) for check, holds, description in outcome.checks}
    if name not in found:
        pytest.skip("only for a server started by this run")
    holds, description = found[name]
    assert holds, f"expected: {CHECKS[name]}. Found: {description}. Faults: {outcome.soak.results.faults[:30]}"
