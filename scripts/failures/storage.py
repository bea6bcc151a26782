"""Faults of disks and downloads."""
import contextlib
import os
import re
import signal
import subprocess
import time

from failures.bench import (MIB, MODEL, PULLED, Row, as_nobody, call, in_background, listed, long_recording, shown,
                            tmpfs, told)


def killed_in_a_download(bench):
    cache = bench.fresh("killed-download")
    with bench.hub() as hub:
        hub.bytes_per_s = 20 * MIB
        settings = {"HF_ENDPOINT": hub.front, "HF_HUB_CACHE": cache}
        with bench.serve("download killed", **settings) as server:
            answer = in_background(call, f"{server.url}/v1/models/{PULLED}", b"", timeout=100)
            while hub.sent < 30 * MIB:
                time.sleep(0.02)
            os.kill(server.process.pid, signal.SIGKILL)
            saw = answer()
        hub.bytes_per_s = 0
        with bench.serve("download again", **settings) as server:
            half = PULLED in listed(server.url)
            pulled, _ = call(f"{server.url}/v1/models/{PULLED}", b"", timeout=100)
            again = hub.ranges[-1] or "bytes=0-"
            start = int(re.search(r"\d+", again)[0])
            good = not half and pulled == 201 and start > 0 and bench.serves(server.url, PULLED)
            whole = os.path.getsize(os.path.join(bench.models, MODEL, "model.bin"))
            return [Row("`kill -9` during a download", shown(saw), "nothing: the process is gone",
                        "the next start is clean and lists no half model; asked again, the download went on at byte "
                        f"{start:,} of {whole:,}: {pulled}", good)]


def disk_full_before_a_download(bench):
    with tmpfs(bench.fresh("disk-small"), 100) as cache, bench.hub() as hub:
        with bench.serve("disk small", HF_ENDPOINT=hub.front, HF_HUB_CACHE=cache) as server:
            saw = call(f"{server.url}/v1/models/{PULLED}", b"")
            listing = listed(server.url)
            subprocess.run(["mount", "-o", "remount,size=250m", cache], check=True)
            again, _ = call(f"{server.url}/v1/models/{PULLED}", b"")
            return [Row("a disk too small for a download", shown(saw), told(server.said()),
                        f"nothing was fetched or listed; with room made: {again}",
                        saw[0] == 507 and PULLED not in listing and again == 201
                        and bench.serves(server.url, PULLED))]


def disk_full_during_a_download(bench):
    with tmpfs(bench.fresh("disk-fills"), 180) as cache, bench.hub() as hub:
        hub.bytes_per_s = 20 * MIB
        with bench.serve("disk fills", HF_ENDPOINT=hub.front, HF_HUB_CACHE=cache) as server:
            answer = in_background(call, f"{server.url}/v1/models/{PULLED}", b"")
            while hub.sent < 20 * MIB:
                time.sleep(0.02)
            filler = os.path.join(cache, "filler")
            with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
                while True:
                    file.write(bytes(MIB))
            saw, listing = answer(), listed(server.url)
            os.remove(filler)
            hub.bytes_per_s = 0
            again, _ = call(f"{server.url}/v1/models/{PULLED}", b"")
            return [Row("a disk that others fill during a download", shown(saw), told(server.said()),
                        f"nothing half is listed; with room made, it went on at `{hub.ranges[-1]}`: {again}",
                        saw[0] == 507 and PULLED not in listing and again == 201
                        and bench.serves(server.url, PULLED))]


def hub_away(bench):
    with bench.serve("hub away", HF_HUB_CACHE=bench.fresh("hub-away")) as server:
        saw = call(f"{server.url}/v1/models/{PULLED}", b"")
        return [Row("the hub cannot be reached", shown(saw), told(server.said()), "other requests are served",
                    saw[0] == 502 and bench.serves(server.url))]


def cache_read_only(bench):
    """As another user, for root may write everywhere."""
    cache = bench.fresh("read-only")
    with bench.hub() as hub:
        with bench.serve("cache read-only", prefix=as_nobody(), HF_ENDPOINT=hub.front, HF_HUB_CACHE=cache) as server:
            saw = call(f"{server.url}/v1/models/{PULLED}", b"")
            os.chmod(cache, 0o777)
            again, _ = call(f"{server.url}/v1/models/{PULLED}", b"")
            return [Row("a cache that may not be written", shown(saw), told(server.said()),
                        f"with the right to write: {again}", saw[0] == 500 and again == 201)]


def no_temporary_files(bench):
    long = long_recording(bench, times=6)
    with tmpfs(bench.fresh("uploads"), 1) as folder:
        with bench.serve("uploads full", TMPDIR=folder, SERVER__UPLOAD_MEMORY_MIB=1) as server:
            saw, log = bench.transcribe(server.url, path=long), told(server.said())
            small = bench.serves(server.url)
            subprocess.run(["mount", "-o", "remount,size=100m", folder], check=True)
            again, _ = bench.transcribe(server.url, path=long)
            return [Row("the disk of uploads (`TMPDIR`) is full", shown(saw), log,
                        f"small uploads are served; with room made: {again}",
                        saw[0] in (500, 507) and small and again == 200)]


FAULTS = (killed_in_a_download, disk_full_before_a_download, disk_full_during_a_download, no_temporary_files,
          cache_read_only, hub_away)
