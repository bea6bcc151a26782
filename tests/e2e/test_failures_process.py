"""Faults of the process and what it stands on: addresses, signals, descriptors, programs, the log."""
import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

import needs
import servers
from failures.harness import as_nobody, call, clean, fill, in_background, inside, shown, tmpfs, told, until

# Why a server does not start, and how it is started so.
NO_START = {
    "an address that is not this machine's": {"host": "203.0.113.7"},
    "a host name that does not exist": {"host": "no-such-host.invalid"},
    "`API_KEYS_FILE` does not exist": {"API_KEYS_FILE": "/nonexistent/keys"},
    "a model of `PRELOAD_MODELS` is not on disk": {"PRELOAD_MODELS": "no-such-model"},
}


def assert_no_start(bench, what, ended):
    """It ended with status 1 and a reason, before any model was loaded."""
    code, log = ended
    assert code == 1
    assert "panicked" not in log
    before = "" if "model loaded" in log else ", before any model is loaded"
    bench.note(what, "connection refused", told(log), f"none: exit status {code}{before}")


@pytest.mark.parametrize("what", NO_START)
def test_a_start_that_fails(bench, what):
    assert_no_start(bench, what, bench.fails(**NO_START[what]))


def test_a_port_that_is_taken(bench):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert_no_start(bench, "the port is taken", bench.fails(port=taken.getsockname()[1]))


@pytest.mark.root
def test_a_port_that_only_root_may_take(bench):
    assert_no_start(bench, "a port that only root may take, as another user", bench.fails(prefix=as_nobody(), port=81))


def test_sigterm_lets_running_requests_end(bench):
    with bench.serve("sigterm") as server:
        working = [in_background(bench.transcribe, server.url) for _ in range(3)]
        until(lambda: inside(server.url) == 3)
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.05)
        late = call(f"{server.url}/health", timeout=5)
        saw = [status for status, _ in (wait() for wait in working)]
        assert saw == [200] * 3
        code = server.process.wait(30)
        assert code == 0
        bench.note("SIGTERM with requests inside", f"{', '.join(map(str, saw))}; a new connection: {shown(late)}",
                   told(server.log_text()), f"exit status {code}")


def test_sigterm_and_a_request_that_outlasts_the_shutdown(bench):
    with bench.serve("sigterm-late", SERVER__SHUTDOWN_TIMEOUT_S=1) as server:
        working = in_background(bench.transcribe, server.url, path=bench.long_recording())
        until(lambda: inside(server.url) == 1)
        os.kill(server.process.pid, signal.SIGTERM)
        saw = working()
        assert saw[0] == 503
        code = server.process.wait(30)
        assert code == 0
        bench.note("SIGTERM, and a request that takes longer than `SERVER__SHUTDOWN_TIMEOUT_S`", shown(saw),
                   told(server.log_text()), f"exit status {code}")


def test_a_second_sigterm_ends_the_process_at_once(bench):
    with bench.serve("sigterm-twice") as server:
        working = in_background(bench.transcribe, server.url, path=bench.long_recording())
        until(lambda: inside(server.url) == 1)
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.3)
        begun = time.perf_counter()
        os.kill(server.process.pid, signal.SIGTERM)
        code = server.process.wait(30)
        took = time.perf_counter() - begun
        assert code == 1
        assert took < 1
        bench.note("a second SIGTERM", shown(working()), told(server.log_text()), f"exit status {code} after {took:.1f} s")


def test_sigterm_while_a_model_loads(bench):
    process = subprocess.Popen(bench.command(servers.free_port()), env=bench.environment(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        time.sleep(0.15)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    finally:
        servers.stop(process)
    assert process.returncode == 0
    bench.note("SIGTERM while a model loads", "connection closed", told(said), f"exit status {process.returncode}")


@pytest.fixture
def gsm(bench):
    """Two seconds of WAV that say they are GSM 6.10, which the built-in decoders do not know."""
    data = b"\xd0" * 65 * 50
    head = b"WAVEfmt " + (20).to_bytes(4, "little") + (0x31).to_bytes(2, "little") + (1).to_bytes(2, "little")
    head += (8000).to_bytes(4, "little") + (1625).to_bytes(4, "little") + (65).to_bytes(2, "little") + bytes(2)
    head += (2).to_bytes(2, "little") + (320).to_bytes(2, "little") + b"data" + len(data).to_bytes(4, "little") + data
    path = bench.folder / "gsm.wav"
    path.write_bytes(b"RIFF" + len(head).to_bytes(4, "little") + head)
    return path


def test_no_ffmpeg_for_a_format_that_needs_it(bench, gsm):
    with bench.serve("no-ffmpeg", PATH="/nonexistent") as server:
        missing, log = bench.transcribe(server.url, path=gsm), told(server.log_text())
        assert missing[0] == 400
        assert bench.serves(server.url), "other formats need no ffmpeg"
    with bench.serve("ffmpeg-off", AUDIO__FFMPEG="off") as server:
        off = bench.transcribe(server.url, path=gsm)
        assert off[0] == 400
    bench.note("no ffmpeg for a format that needs it", f"{shown(missing)} With `AUDIO__FFMPEG=off`: {shown(off)}", log,
               "other formats are served")


def test_no_file_descriptors_left(bench):
    needs.command("prlimit")
    with bench.serve("no-descriptors", prefix=("prlimit", "--nofile=40")) as server:
        host, port = server.url.split("//")[1].split(":")
        held = [socket.create_connection((host, int(port))) for _ in range(60)]
        time.sleep(2)
        during = call(f"{server.url}/health", timeout=3)
        lines = server.log_text().count("no connection can be accepted")
        assert lines > 0
        for connection in held:
            connection.close()
        time.sleep(0.5)
        after = bench.transcribe(server.url)
        assert after[0] == 200
        assert clean(server)
        bench.note("no file descriptors left (`prlimit --nofile=40`, 60 connections)", shown(during),
                   f"{told(server.log_text())} ({lines} lines in two seconds)", f"once they are closed: {after[0]}")


@contextlib.contextmanager
def logging_to(bench, out):
    """The address of a server whose log goes to this descriptor, and its process."""
    port = servers.free_port()
    process = subprocess.Popen(bench.command(port), env=bench.environment(LOG_LEVEL="debug"), stdin=subprocess.DEVNULL,
                               stdout=out, stderr=out, start_new_session=True)
    try:
        servers.wait_until_ready(process, f"http://127.0.0.1:{port}/ready")
        yield f"http://127.0.0.1:{port}", process
    finally:
        servers.stop(process)


def assert_goes_on_without_log(bench, what, url, process):
    """Whoever reads the log is gone, or its disk is full: requests are answered, and SIGTERM ends the process."""
    assert [bench.serves(url) for _ in range(3)] == [True] * 3
    assert bench.transcribe(url, "no-such-model")[0] == 404
    process.send_signal(signal.SIGTERM)
    code = process.wait(30)
    assert code == 0
    bench.note(what, "200 as before", "its lines are lost", f"exit status {code} after SIGTERM")


def test_the_reader_of_the_log_is_gone(bench):
    reader, writer = os.pipe()
    try:
        with logging_to(bench, writer) as (url, process):
            os.close(reader)
            assert_goes_on_without_log(bench, "the reader of the log is gone", url, process)
    finally:
        os.close(writer)


@pytest.mark.root
def test_the_disk_of_the_log_is_full(bench):
    with tmpfs(bench.fresh("log"), 1) as folder:
        out = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            with logging_to(bench, out) as (url, process):
                fill(folder / "filler", 4096)
                assert_goes_on_without_log(bench, "the disk of the log is full", url, process)
        finally:
            os.close(out)
