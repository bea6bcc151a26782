"""Faults of disks and downloads: what the caller sees, and that the server goes on once they are over."""
import os
import re
import signal
import time

import pytest

from failures.harness import (
    MIB,
    MODEL,
    PULLED,
    as_nobody,
    call,
    fill,
    grow,
    in_background,
    listed,
    shown,
    tmpfs,
    told,
)

BYTES_PER_S = 20 * MIB  # of a slow download
PATIENCE_S = 30


def wait_for_bytes(hub, count):
    """Waits until the hub has sent so much."""
    end = time.monotonic() + PATIENCE_S
    while hub.sent < count:
        assert time.monotonic() < end, f"{hub.sent} bytes were fetched within {PATIENCE_S} s"
        time.sleep(0.02)


def test_a_download_goes_on_after_kill_9(bench):
    with bench.hub() as hub:
        hub.bytes_per_s = BYTES_PER_S
        settings = {"HF_ENDPOINT": hub.front, "HF_HUB_CACHE": bench.fresh("cache")}
        with bench.serve("download-killed", **settings) as server:
            answer = in_background(call, f"{server.url}/v1/models/{PULLED}", b"", timeout=100)
            wait_for_bytes(hub, 30 * MIB)
            os.kill(server.process.pid, signal.SIGKILL)
            saw = answer()
        hub.bytes_per_s = 0
        with bench.serve("download-again", **settings) as server:
            assert PULLED not in listed(server.url), "half a model is listed"
            pulled, _ = call(f"{server.url}/v1/models/{PULLED}", b"", timeout=100)
            assert pulled == 201
            start = int(re.search(r"\d+", hub.ranges[-1] or "bytes=0-")[0])
            assert start > 0, "the download began again"
            assert bench.serves(server.url, PULLED)
    whole = os.path.getsize(bench.models / MODEL / "model.bin")
    bench.note("`kill -9` during a download", shown(saw), "nothing: the process is gone",
               "the next start is clean and lists no half model; asked again, the download went on at byte "
               f"{start:,} of {whole:,}: {pulled}")


@pytest.mark.root
def test_a_disk_too_small_for_a_download(bench):
    with tmpfs(bench.fresh("cache"), 100) as cache, bench.hub() as hub, \
            bench.serve("disk-small", HF_ENDPOINT=hub.front, HF_HUB_CACHE=cache) as server:
        saw = call(f"{server.url}/v1/models/{PULLED}", b"")
        assert saw[0] == 507
        assert PULLED not in listed(server.url)
        grow(cache, 250)
        again, _ = call(f"{server.url}/v1/models/{PULLED}", b"")
        assert again == 201
        assert bench.serves(server.url, PULLED)
        bench.note("a disk too small for a download", shown(saw), told(server.log_text()),
                   f"nothing was fetched or listed; with room made: {again}")


@pytest.mark.root
def test_a_disk_that_others_fill_during_a_download(bench):
    with tmpfs(bench.fresh("cache"), 180) as cache, bench.hub() as hub, \
            bench.serve("disk-fills", HF_ENDPOINT=hub.front, HF_HUB_CACHE=cache) as server:
        hub.bytes_per_s = BYTES_PER_S
        answer = in_background(call, f"{server.url}/v1/models/{PULLED}", b"")
        wait_for_bytes(hub, 20 * MIB)
        fill(cache / "filler", MIB)
        saw = answer()
        assert saw[0] == 507
        assert PULLED not in listed(server.url), "half a model is listed"
        os.remove(cache / "filler")
        hub.bytes_per_s = 0
        again, _ = call(f"{server.url}/v1/models/{PULLED}", b"")
        assert again == 201
        assert bench.serves(server.url, PULLED)
        bench.note("a disk that others fill during a download", shown(saw), told(server.log_text()),
                   f"nothing half is listed; with room made, it went on at `{hub.ranges[-1]}`: {again}")


@pytest.mark.root
def test_the_disk_of_uploads_is_full(bench):
    long = bench.long_recording(times=6)
    with tmpfs(bench.fresh("uploads"), 1) as folder, \
            bench.serve("uploads-full", TMPDIR=folder, SERVER__UPLOAD_MEMORY_MIB=1) as server:
        saw, log = bench.transcribe(server.url, path=long), told(server.log_text())
        assert saw[0] in (500, 507)
        assert bench.serves(server.url), "a small upload needs no disk"
        grow(folder, 100)
        again, _ = bench.transcribe(server.url, path=long)
        assert again == 200
        bench.note("the disk of uploads (`TMPDIR`) is full", shown(saw), log,
                   f"small uploads are served; with room made: {again}")


@pytest.mark.root
def test_a_cache_that_may_not_be_written(bench):
    """As another user, for root may write everywhere."""
    cache = bench.fresh("cache")
    with bench.hub() as hub, bench.serve("cache-read-only", prefix=as_nobody(), HF_ENDPOINT=hub.front,
                                         HF_HUB_CACHE=cache) as server:
        saw = call(f"{server.url}/v1/models/{PULLED}", b"")
        assert saw[0] == 500
        cache.chmod(0o777)
        again, _ = call(f"{server.url}/v1/models/{PULLED}", b"")
        assert again == 201
        bench.note("a cache that may not be written", shown(saw), told(server.log_text()),
                   f"with the right to write: {again}")


def test_the_hub_cannot_be_reached(bench):
    with bench.serve("hub-away", HF_HUB_CACHE=bench.fresh("cache")) as server:
        saw = call(f"{server.url}/v1/models/{PULLED}", b"")
        assert saw[0] == 502
        assert bench.serves(server.url)
        bench.note("the hub cannot be reached", shown(saw), told(server.log_text()), "other requests are served")
