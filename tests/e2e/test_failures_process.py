"""Faults of the process and its environment: addresses, signals, file descriptors, programs, the log."""
import contextlib
import os
import signal
import socket
import subprocess
import time

import pytest

import needs
import servers
from failures.harness import (
    as_nobody,
    call,
    fill_disk,
    has_no_panic,
    in_background,
    log_problems,
    requests_in_flight,
    response_text,
    tmpfs,
    wait_until,
)

# Reasons why a server does not start, and the arguments that cause them.
START_FAILURES = {
    "an address that is not this machine's": {"host": "203.0.113.7"},
    "a host name that does not exist": {"host": "no-such-host.invalid"},
    "`API_KEYS_FILE` does not exist": {"API_KEYS_FILE": "/nonexistent/keys"},
    "a model of `PRELOAD_MODELS` is not on disk": {"PRELOAD_MODELS": "no-such-model"},
}


def assert_no_start(harness, what, result):
    """Checks that the server ended with status 1 and a reason, and adds the row."""
    code, log = result
    assert code == 1
    assert "panicked" not in log
    before = "" if "model loaded" in log else ", before any model is loaded"
    harness.add_row(what, "connection refused", log_problems(log), f"none: exit status {code}{before}")


@pytest.mark.parametrize("what", START_FAILURES)
def test_a_start_that_fails(harness, what):
    assert_no_start(harness, what, harness.run_to_exit(**START_FAILURES[what]))


def test_a_port_that_is_taken(harness):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert_no_start(harness, "the port is taken", harness.run_to_exit(port=taken.getsockname()[1]))


@pytest.mark.root
def test_a_port_that_only_root_may_take(harness):
    assert_no_start(harness, "a port that only root may take, as another user",
                    harness.run_to_exit(prefix=as_nobody(), port=81))


def test_sigterm_lets_running_requests_end(harness):
    with harness.serve("sigterm") as server:
        working = [in_background(harness.transcribe, server.url) for _ in range(3)]
        wait_until(lambda: requests_in_flight(server.url) == 3)
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.05)
        late = call(f"{server.url}/health", timeout=5)
        statuses = [status for status, _ in (wait() for wait in working)]
        assert statuses == [200] * 3
        code = server.process.wait(30)
        assert code == 0
        harness.add_row("SIGTERM with running requests",
                        f"{', '.join(map(str, statuses))}; a new connection: {response_text(late)}",
                        log_problems(server.log_text()), f"exit status {code}")


def test_sigterm_and_a_request_that_outlasts_the_shutdown(harness):
    with harness.serve("sigterm-late", SERVER__SHUTDOWN_TIMEOUT_S=1) as server:
        working = in_background(harness.transcribe, server.url, path=harness.long_recording())
        wait_until(lambda: requests_in_flight(server.url) == 1)
        os.kill(server.process.pid, signal.SIGTERM)
        response = working()
        assert response[0] == 503
        code = server.process.wait(30)
        assert code == 0
        harness.add_row("SIGTERM, and a request that takes longer than `SERVER__SHUTDOWN_TIMEOUT_S`",
                        response_text(response), log_problems(server.log_text()), f"exit status {code}")


def test_a_second_sigterm_ends_the_process_at_once(harness):
    with harness.serve("sigterm-twice") as server:
        working = in_background(harness.transcribe, server.url, path=harness.long_recording())
        wait_until(lambda: requests_in_flight(server.url) == 1)
        os.kill(server.process.pid, signal.SIGTERM)
        time.sleep(0.3)
        start = time.perf_counter()
        os.kill(server.process.pid, signal.SIGTERM)
        code = server.process.wait(30)
        seconds = time.perf_counter() - start
        assert code == 1
        assert seconds < 1
        harness.add_row("a second SIGTERM", response_text(working()), log_problems(server.log_text()),
                        f"exit status {code} after {seconds:.1f} s")


def test_sigterm_while_a_model_loads(harness):
    process = subprocess.Popen(harness.command(servers.free_port()), env=harness.environment(), text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        time.sleep(0.15)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    finally:
        servers.stop(process)
    assert process.returncode == 0
    harness.add_row("SIGTERM while a model loads", "connection closed", log_problems(output),
                    f"exit status {process.returncode}")


@pytest.fixture
def gsm(harness):
    """Two seconds of WAV with the format GSM 6.10, which the built-in decoders do not support."""
    data = b"\xd0" * 65 * 50
    head = b"WAVEfmt " + (20).to_bytes(4, "little") + (0x31).to_bytes(2, "little") + (1).to_bytes(2, "little")
    head += (8000).to_bytes(4, "little") + (1625).to_bytes(4, "little") + (65).to_bytes(2, "little") + bytes(2)
    head += (2).to_bytes(2, "little") + (320).to_bytes(2, "little") + b"data" + len(data).to_bytes(4, "little") + data
    path = harness.folder / "gsm.wav"
    path.write_bytes(b"RIFF" + len(head).to_bytes(4, "little") + head)
    return path


def test_no_ffmpeg_for_a_format_that_needs_it(harness, gsm):
    with harness.serve("no-ffmpeg", PATH="/nonexistent") as server:
        missing, log = harness.transcribe(server.url, path=gsm), log_problems(server.log_text())
        assert missing[0] == 400
        assert harness.transcribes(server.url), "other formats need no ffmpeg"
    with harness.serve("ffmpeg-off", AUDIO__FFMPEG="off") as server:
        off = harness.transcribe(server.url, path=gsm)
        assert off[0] == 400
    harness.add_row("no ffmpeg for a format that needs it",
                    f"{response_text(missing)} With `AUDIO__FFMPEG=off`: {response_text(off)}", log,
                    "other formats are served")


def test_no_file_descriptors_left(harness):
    needs.command("prlimit")
    with harness.serve("no-descriptors", prefix=("prlimit", "--nofile=40")) as server:
        host, port = server.url.split("//")[1].split(":")
        connections = [socket.create_connection((host, int(port))) for _ in range(60)]
        time.sleep(2)
        during = call(f"{server.url}/health", timeout=3)
        lines = server.log_text().count("no connection can be accepted")
        assert lines > 0
        for connection in connections:
            connection.close()
        time.sleep(0.5)
        after = harness.transcribe(server.url)
        assert after[0] == 200
        assert has_no_panic(server)
        harness.add_row("no file descriptors left (`prlimit --nofile=40`, 60 connections)", response_text(during),
                        f"{log_problems(server.log_text())} ({lines} lines in two seconds)",
                        f"once they are closed: {after[0]}")


@contextlib.contextmanager
def server_with_log(harness, out):
    """A server that logs to a file descriptor; its address and its process."""
    port = servers.free_port()
    process = subprocess.Popen(harness.command(port), env=harness.environment(LOG_LEVEL="debug"),
                               stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
    try:
        servers.wait_until_ready(process, f"http://127.0.0.1:{port}/ready")
        yield f"http://127.0.0.1:{port}", process
    finally:
        servers.stop(process)


def assert_runs_without_log(harness, what, url, process):
    """Checks that requests are answered without a log, and that SIGTERM ends the process."""
    assert [harness.transcribes(url) for _ in range(3)] == [True] * 3
    assert harness.transcribe(url, "no-such-model")[0] == 404
    process.send_signal(signal.SIGTERM)
    code = process.wait(30)
    assert code == 0
    harness.add_row(what, "200 as before", "its lines are lost", f"exit status {code} after SIGTERM")


def test_the_reader_of_the_log_is_gone(harness):
    reader, writer = os.pipe()
    try:
        with server_with_log(harness, writer) as (url, process):
            os.close(reader)
            assert_runs_without_log(harness, "the reader of the log is gone", url, process)
    finally:
        os.close(writer)


@pytest.mark.root
def test_the_disk_of_the_log_is_full(harness):
    with tmpfs(harness.new_folder("log"), 1) as folder:
        out = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            with server_with_log(harness, out) as (url, process):
                fill_disk(folder / "filler", 4096)
                assert_runs_without_log(harness, "the disk of the log is full", url, process)
        finally:
            os.close(out)
