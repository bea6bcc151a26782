"""Faults of disks and downloads: the response, and that the server recovers once they are over."""
import os
import re
import signal
import time

import pytest

from failures.harness import (
    HUB_MODEL,
    MIB,
    MODEL,
    as_nobody,
    call,
    fill_disk,
    in_background,
    listed_models,
    log_problems,
    resize_tmpfs,
    response_text,
    tmpfs,
)

BYTES_PER_S = 20 * MIB  # of a slow download
TIMEOUT_S = 30


def wait_for_bytes(hub, count):
    """Waits until the hub has sent `count` bytes."""
    end = time.monotonic() + TIMEOUT_S
    while hub.bytes_sent < count:
        assert time.monotonic() < end, f"{hub.bytes_sent} bytes were downloaded within {TIMEOUT_S} s"
        time.sleep(0.02)


def test_a_download_resumes_after_kill_9(harness):
    with harness.hub() as hub:
        hub.bytes_per_s = BYTES_PER_S
        settings = {"HF_ENDPOINT": hub.api_url, "HF_HUB_CACHE": harness.new_folder("cache")}
        with harness.serve("download-killed", **settings) as server:
            answer = in_background(call, f"{server.url}/v1/models/{HUB_MODEL}", b"", timeout=100)
            wait_for_bytes(hub, 30 * MIB)
            os.kill(server.process.pid, signal.SIGKILL)
            response = answer()
        hub.bytes_per_s = 0
        with harness.serve("download-again", **settings) as server:
            assert HUB_MODEL not in listed_models(server.url), "an incomplete model is listed"
            pulled, _ = call(f"{server.url}/v1/models/{HUB_MODEL}", b"", timeout=100)
            assert pulled == 201
            start = int(re.search(r"\d+", hub.ranges[-1] or "bytes=0-")[0])
            assert start > 0, "the download started again"
            assert harness.transcribes(server.url, HUB_MODEL)
    whole = os.path.getsize(harness.models / MODEL / "model.bin")
    harness.add_row("`kill -9` during a download", response_text(response), "nothing: the process is gone",
                    "the next start is clean and lists no incomplete model; requested again, the download resumed at "
                    f"byte {start:,} of {whole:,}: {pulled}")


@pytest.mark.root
def test_a_disk_too_small_for_a_download(harness):
    with tmpfs(harness.new_folder("cache"), 100) as cache, harness.hub() as hub, \
            harness.serve("disk-small", HF_ENDPOINT=hub.api_url, HF_HUB_CACHE=cache) as server:
        response = call(f"{server.url}/v1/models/{HUB_MODEL}", b"")
        assert response[0] == 507
        assert HUB_MODEL not in listed_models(server.url)
        resize_tmpfs(cache, 250)
        again, _ = call(f"{server.url}/v1/models/{HUB_MODEL}", b"")
        assert again == 201
        assert harness.transcribes(server.url, HUB_MODEL)
        harness.add_row("a disk too small for a download", response_text(response), log_problems(server.log_text()),
                        f"nothing was downloaded or listed; with more space: {again}")


@pytest.mark.root
def test_a_disk_that_others_fill_during_a_download(harness):
    with tmpfs(harness.new_folder("cache"), 180) as cache, harness.hub() as hub, \
            harness.serve("disk-fills", HF_ENDPOINT=hub.api_url, HF_HUB_CACHE=cache) as server:
        hub.bytes_per_s = BYTES_PER_S
        answer = in_background(call, f"{server.url}/v1/models/{HUB_MODEL}", b"")
        wait_for_bytes(hub, 20 * MIB)
        fill_disk(cache / "filler", MIB)
        response = answer()
        assert response[0] == 507
        assert HUB_MODEL not in listed_models(server.url), "an incomplete model is listed"
        os.remove(cache / "filler")
        hub.bytes_per_s = 0
        again, _ = call(f"{server.url}/v1/models/{HUB_MODEL}", b"")
        assert again == 201
        assert harness.transcribes(server.url, HUB_MODEL)
        harness.add_row("a disk that others fill during a download", response_text(response),
                        log_problems(server.log_text()),
                        f"no incomplete model is listed; with more space, it resumed at `{hub.ranges[-1]}`: {again}")


@pytest.mark.root
def test_the_disk_of_uploads_is_full(harness):
    long = harness.long_recording(times=6)
    with tmpfs(harness.new_folder("uploads"), 1) as folder, \
            harness.serve("uploads-full", TMPDIR=folder, SERVER__UPLOAD_MEMORY_MIB=1) as server:
        response, log = harness.transcribe(server.url, path=long), log_problems(server.log_text())
        assert response[0] in (500, 507)
        assert harness.transcribes(server.url), "a small upload needs no disk"
        resize_tmpfs(folder, 100)
        again, _ = harness.transcribe(server.url, path=long)
        assert again == 200
        harness.add_row("the disk of uploads (`TMPDIR`) is full", response_text(response), log,
                        f"small uploads are served; with more space: {again}")


@pytest.mark.root
def test_a_cache_that_may_not_be_written(harness):
    """As another user, since root may write everywhere."""
    cache = harness.new_folder("cache")
    with harness.hub() as hub, harness.serve("cache-read-only", prefix=as_nobody(), HF_ENDPOINT=hub.api_url,
                                             HF_HUB_CACHE=cache) as server:
        response = call(f"{server.url}/v1/models/{HUB_MODEL}", b"")
        assert response[0] == 500
        cache.chmod(0o777)
        again, _ = call(f"{server.url}/v1/models/{HUB_MODEL}", b"")
        assert again == 201
        harness.add_row("a cache that may not be written", response_text(response), log_problems(server.log_text()),
                        f"with write permission: {again}")


def test_the_hub_cannot_be_reached(harness):
    with harness.serve("hub-away", HF_HUB_CACHE=harness.new_folder("cache")) as server:
        response = call(f"{server.url}/v1/models/{HUB_MODEL}", b"")
        assert response[0] == 502
        assert harness.transcribes(server.url)
        harness.add_row("the hub cannot be reached", response_text(response), log_problems(server.log_text()),
                        "other requests are served")
