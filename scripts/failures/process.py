"""Faults of the process and what it stands on: addresses, signals, descriptors, programs, the log."""
import contextlib
import os
import signal
import socket
import subprocess
import time

import servers
from failures.bench import (Row, as_nobody, call, clean, in_background, inside, long_recording, overwrite, shown, tmpfs,
                            told, until)


def addresses(bench):
    rows = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        rows.append(_no_start("the port is taken", bench.fails(port=taken.getsockname()[1])))
    rows.append(_no_start("an address that is not this machine's", bench.fails(host="203.0.113.7")))
    rows.append(_no_start("a host name that does not exist", bench.fails(host="no-such-host.invalid")))
    rows.append(_no_start("a port that only root may take, as another user", bench.fails(prefix=as_nobody(), port=81)))
    rows.append(_no_start("`API_KEYS_FILE` does not exist", bench.fails(API_KEYS_FILE="/nonexistent/keys")))
    rows.append(_no_start("a model of `PRELOAD_MODELS` is not on disk", bench.fails(PRELOAD_MODELS="no-such-model")))
    return rows


def _no_start(what, ended):
    code, log = ended
    return Row(what, "connection refused", told(log), f"none: exit status {code}, before any model is loaded" if
               "model loaded" not in log else f"exit status {code}", code == 1 and "panicked" not in log)


def signals(bench):
    rows = []
    with bench.serve("sigterm") as server:
        working = [in_background(bench.transcribe, server.url) for _ in range(3)]
        until(lambda: inside(server.url) == 3)
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.05)
        late = call(f"{server.url}/health", timeout=5)
        saw = [status for status, _ in (wait() for wait in working)]
        code = server.process.wait(30)
        rows.append(Row("SIGTERM with requests inside", f"{', '.join(map(str, saw))}; a new connection: {shown(late)}",
                        told(server.said()), f"exit status {code}", saw == [200] * 3 and code == 0))
    with bench.serve("sigterm late", SERVER__SHUTDOWN_TIMEOUT_S=1) as server:
        working = in_background(bench.transcribe, server.url, path=long_recording(bench))
        until(lambda: inside(server.url) == 1)
        os.kill(server.process.pid, signal.SIGTERM)
        saw = working()
        code = server.process.wait(30)
        rows.append(Row("SIGTERM, and a request that takes longer than `SERVER__SHUTDOWN_TIMEOUT_S`", shown(saw),
                        told(server.said()), f"exit status {code}", saw[0] == 503 and code == 0))
    with bench.serve("sigterm twice") as server:
        working = in_background(bench.transcribe, server.url, path=long_recording(bench))
        until(lambda: inside(server.url) == 1)
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.3)
        begun = time.perf_counter()
        os.kill(server.process.pid, signal.SIGTERM)
        code = server.process.wait(30)
        took = time.perf_counter() - begun
        rows.append(Row("a second SIGTERM", shown(working()), told(server.said()),
                        f"exit status {code} after {took:.1f} s", code == 1 and took < 1))
    process = subprocess.Popen(bench.command(servers.free_port()), env=bench.environment({}), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    time.sleep(0.15)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=30)
    rows.append(Row("SIGTERM while a model loads", "connection closed", told(said), f"exit status {process.returncode}",
                    process.returncode == 0))
    return rows


def no_ffmpeg(bench):
    """A WAV file with GSM in it, which the built-in decoders do not know."""
    path = os.path.join(bench.folder, "gsm.wav")
    if not os.path.exists(path):
        overwrite(path, _gsm())
    with bench.serve("no ffmpeg", PATH="/nonexistent") as server:
        missing, log = bench.transcribe(server.url, path=path), told(server.said())
        alone = bench.serves(server.url)
    with bench.serve("ffmpeg off", AUDIO__FFMPEG="off") as server:
        off = bench.transcribe(server.url, path=path)
    return [Row("no ffmpeg for a format that needs it", f"{shown(missing)} With `AUDIO__FFMPEG=off`: {shown(off)}", log,
                "other formats are served", missing[0] == off[0] == 400 and alone)]


def _gsm():
    """Two seconds that say they are GSM 6.10."""
    data = b"\xd0" * 65 * 50
    head = b"WAVEfmt " + (20).to_bytes(4, "little") + (0x31).to_bytes(2, "little") + (1).to_bytes(2, "little")
    head += (8000).to_bytes(4, "little") + (1625).to_bytes(4, "little") + (65).to_bytes(2, "little") + bytes(2)
    head += (2).to_bytes(2, "little") + (320).to_bytes(2, "little") + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(head).to_bytes(4, "little") + head


def no_descriptors(bench):
    with bench.serve("no descriptors", prefix=("prlimit", "--nofile=40")) as server:
        host, port = server.url.split("//")[1].split(":")
        held = [socket.create_connection((host, int(port))) for _ in range(60)]
        time.sleep(2)
        during = call(f"{server.url}/health", timeout=3)
        lines = server.said().count("no connection can be accepted")
        for connection in held:
            connection.close()
        time.sleep(0.5)
        after = bench.transcribe(server.url)
        return [Row("no file descriptors left (`prlimit --nofile=40`, 60 connections)", shown(during),
                    f"{told(server.said())} ({lines} lines in two seconds)", f"once they are closed: {after[0]}",
                    after[0] == 200 and lines > 0 and clean(server))]


def no_log(bench):
    """Whoever reads the log is gone, or its disk is full: the server has to go on."""
    rows = []
    for what in ("the reader of the log is gone", "the disk of the log is full"):
        port = servers.free_port()
        folder = bench.fresh("log")
        with tmpfs(folder, 1):
            path = os.path.join(folder, "log")
            reader, writer = os.pipe()
            out = writer
            if "disk" in what:
                out = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            process = subprocess.Popen(bench.command(port), env=bench.environment({"LOG_LEVEL": "debug"}),
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
            try:
                servers.wait_for(process, f"http://127.0.0.1:{port}/ready")
                os.close(reader)
                with contextlib.suppress(OSError), open(os.path.join(folder, "filler"), "wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
                served = [bench.serves(f"http://127.0.0.1:{port}") for _ in range(3)]
                bad = bench.transcribe(f"http://127.0.0.1:{port}", "no-such-model")[0]
                process.send_signal(signal.SIGTERM)
                code = process.wait(30)
            finally:
                servers.stop(process)
                os.close(writer)
                if out != writer:
                    os.close(out)
        rows.append(Row(what, "200 as before" if all(served) else "errors", "its lines are lost",
                        f"exit status {code} after SIGTERM", all(served) and bad == 404 and code == 0))
    return rows


FAULTS = (addresses, signals, no_ffmpeg, no_descriptors, no_log)
