"""Requirements of tests that a machine may lack: the test is skipped with the reason, or fails if they are required.

HALKSPEECH_REQUIRE lists required things, separated by commas: program, models, samples, recordings, speakers, packages,
clients, node, chromium, async-openai, ffmpeg, nginx, haproxy, root, gpu, prometheus, compose. Other names are those of
scripts/test.sh, for the tests in Rust.
"""
import importlib
import os
import pathlib
import shutil
import urllib.error
import urllib.request

import pytest


def is_required(name):
    return name in [one.strip() for one in os.environ.get("HALKSPEECH_REQUIRE", "").split(",")]


def missing(name, reason):
    """Skips the running test, or fails it if HALKSPEECH_REQUIRE lists what is missing."""
    if is_required(name):
        pytest.fail(f"{reason} (HALKSPEECH_REQUIRE names {name})", pytrace=False)
    pytest.skip(reason)


def recordings_manifest():
    """The manifest of the folder HALKSPEECH_RECORDINGS, which must exist."""
    named = os.environ.get("HALKSPEECH_RECORDINGS")
    if not named:
        missing("recordings", "HALKSPEECH_RECORDINGS does not name the folder of the recordings")
    return existing(pathlib.Path(named) / "manifest.jsonl", "recordings", "HALKSPEECH_RECORDINGS names another folder")


def module(name, kind="packages", requirements="requirements.txt"):
    """The Python module of this name."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        missing(kind, f"{name} cannot be imported ({error}): pip install -r tests/e2e/{requirements}")


def command(name, kind=None):
    """The path of a program in PATH."""
    return shutil.which(name) or missing(kind or name, f"{name} is not installed")


def existing(path, kind, hint):
    """The path, which must exist."""
    return path if path.exists() else missing(kind, f"{path} is missing: {hint}")


def reachable_url(url, kind, hint):
    """The address of a server that is started by hand."""
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except urllib.error.HTTPError:
        pass  # It answers.
    except OSError as error:
        missing(kind, f"{url} does not answer ({error}): {hint}")
    return url
