#!/usr/bin/env python3
"""Checks a HalkSpeech server with the unmodified OpenAI SDK: only `base_url` differs from a program for OpenAI.

usage: check_openai_sdk.py [BINARY | URL]

BINARY  the server's program, started on free ports with settings under which every refusal can be met, and stopped
        at the end (default: $CARGO_TARGET_DIR/release/halkspeech, with the Makefile's CARGO_TARGET_DIR)
URL     a running server, for example http://localhost:8000; what takes settings of its own is left out
The key is $OPENAI_API_KEY where that is set.

Needs `pip install openai`, and from `make models` the model tiny.en and the sample jfk.wav.
"""
import asyncio
import contextlib
import io
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import wave

import openai
from openai.types.audio import Transcription

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "halkspeech"
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target") / "release" / "halkspeech"
SAMPLE = pathlib.Path(os.environ.get("SAMPLES_DIR") or CACHE / "samples") / "jfk.wav"
MODEL, SAID = "tiny.en", "ask what you can do for your country"
KEY = os.environ.get("OPENAI_API_KEY") or "key of the check"
# Every refusal but the one for lateness can be met under these.
STRICT = {"API_KEY": KEY, "SERVER__MAX_UPLOAD_MIB": "1", "WHISPER__MAX_CONCURRENT_REQUESTS": "1"}
# As slow as it goes, so that no machine transcribes eleven minutes of speech within the time.
LATE = {"SERVER__REQUEST_TIMEOUT_S": "1", "WHISPER__BEAM_SIZE": "32", "WHISPER__BATCH_SIZE": "1",
        "WHISPER__NUM_WORKERS": "1", "WHISPER__CPU_THREADS": "1"}
results = []


@contextlib.contextmanager
def check(name):
    """Prints whether the block ran without an exception, and goes on either way."""
    try:
        yield
        print(f"ok    {name}", flush=True)
        results.append(True)
    except Exception as error:  # Whatever it is, the check has failed.
        print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
        results.append(False)


def equal(found, expected, what):
    assert found == expected, f"{what} is {found!r}, not {expected!r}"


def contains(text, piece):
    assert piece in text, f"no {piece!r} in {text!r}"


@contextlib.contextmanager
def refused(name, kind, status, code, param, piece, type="invalid_request_error"):
    """A check whose block must raise exactly this exception with exactly these fields."""
    with check(name):
        try:
            yield
        except openai.APIStatusError as error:
            equal((error.__class__, error.status_code), (kind, status), "(class, status_code)")
            equal((error.type, error.code, error.param), (type, code, param), "(type, code, param)")
            message = error.body["message"]
            equal(error.body, {"message": message, "type": type, "param": param, "code": code}, "body")
            contains(message, piece)
            contains(error.message, message)
            contains(error.request_id, error.response.headers["x-request-id"])
        else:
            raise AssertionError("nothing was raised")


@contextlib.contextmanager
def server(binary, settings):
    """Runs the program until the block ends; gives its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"UVICORN_HOST": "127.0.0.1", "UVICORN_PORT": str(port), "WHISPER__MODEL": MODEL, **settings}
    process = subprocess.Popen([binary, "serve"], env={**os.environ, "LOG_LEVEL": "critical", **settings})
    try:
        for _ in range(600):
            if process.poll() is not None:
                sys.exit(f"{binary} ended with status {process.returncode}")
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ready"):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def client_of(url, key=KEY, kind=openai.OpenAI, max_retries=0):
    return kind(base_url=f"{url}/v1", api_key=key, max_retries=max_retries)


def speech(times):
    """The sample so many times over, as a WAV file."""
    file = io.BytesIO()
    with wave.open(str(SAMPLE)) as sample, wave.open(file, "wb") as longer:
        longer.setparams(sample.getparams())
        longer.writeframes(sample.readframes(sample.getnframes()) * times)
    return file.getvalue()


def check_answers(url):
    client = client_of(url)
    transcriptions, audio = client.audio.transcriptions, SAMPLE.read_bytes()
    for name, file in [("a path", SAMPLE), ("an open file", SAMPLE.open("rb")), ("bytes", audio),
                       ("a tuple of name and bytes", ("jfk.wav", audio)),
                       ("a tuple with its type", ("jfk.wav", audio, "audio/x-wav")), ("BytesIO", io.BytesIO(audio))]:
        with check(f"json of {name}"):
            answer = transcriptions.create(file=file, model=MODEL)
            equal(type(answer), Transcription, "type")
            contains(answer.text, SAID)
            equal((answer.usage.type, answer.usage.seconds), ("duration", 11), "usage")
    with check("json by its name, with every parameter of this version"):
        answer = transcriptions.create(file=SAMPLE, model="whisper-1", response_format="json", language="en",
                                       prompt="Kennedy.", temperature=0, stream=False)
        contains(answer.text, "your country")
    with check("text is a str of one line"):
        answer = transcriptions.create(file=SAMPLE, model=MODEL, response_format="text")
        equal((SAID in answer, answer.strip() + "\n"), (True, answer), "(right, one line)")
    with check("headers of the raw response"):
        named = {"x-request-id": "check-1"}
        raw = transcriptions.with_raw_response.create(file=SAMPLE, model=MODEL, extra_headers=named)
        for header in ["openai-processing-ms", "x-queue-ms", "x-inference-ms", "x-batch-size",
                       "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"]:
            equal(raw.headers[header].isdecimal(), True, f"{header} is a number")
        equal((raw.request_id, raw.parse()._request_id), ("check-1", "check-1"), "request id")
    with check("models.list and models.retrieve"):
        models = {model.id: model for model in client.models.list()}
        equal((models[MODEL].object, type(models[MODEL].created)), ("model", int), "(object, type of created)")
        equal(client.models.retrieve(MODEL), models[MODEL], "model")

    async def ask():
        async with client_of(url, kind=openai.AsyncOpenAI) as client:
            return await client.audio.transcriptions.create(file=SAMPLE, model=MODEL)
    with check("the async client"):
        contains(asyncio.run(ask()).text, SAID)


def check_refusals(url):
    client = client_of(url)
    bad, absent = (openai.BadRequestError, 400), (openai.NotFoundError, 404, "model_not_found", "model")
    missing, invalid = (*bad, "missing_required_parameter"), (*bad, "invalid_value")
    for name, fields, expected in [
        ("model left out", {"model": openai.omit}, (*missing, "model", "whisper-1")),
        ("empty model", {"model": ""}, (*missing, "model", "whisper-1")),
        ("unknown model", {"model": "large-v9"}, (*absent, "large-v9")),
        ("empty file", {"file": ("empty.wav", b"")}, (*invalid, "file", "empty")),
        ("no audio", {"file": ("garbage.mp3", bytes(range(256)) * 40)}, (*invalid, "file", "Invalid file format.")),
        ("temperature out of range", {"temperature": 2}, (*invalid, "temperature", "2")),
        ("unknown response_format", {"response_format": "docx"}, (*invalid, "response_format", "docx")),
        ("unknown language", {"language": "klingon"}, (*invalid, "language", "klingon")),
    ]:
        with refused(name, *expected):
            client.audio.transcriptions.create(**{"file": SAMPLE, "model": MODEL, **fields})
    with refused("retrieve an unknown model", *absent, "owner/large-v9"):
        client.models.retrieve("owner/large-v9")


@contextlib.contextmanager
def only_place_taken(url):
    """Holds the one place of the server, with a request whose body never comes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"POST /v1/audio/transcriptions?model={MODEL} HTTP/1.1\r\nHost: {host}\r\n"
                           f"Authorization: Bearer {KEY}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n".encode())
        contains(connection.recv(100), b" 100 ")  # Told to send, so it is inside.
        yield connection


def check_limits(url):
    create = client_of(url).audio.transcriptions.create
    with refused("too large an upload", openai.APIStatusError, 413, None, "file", "1 MiB"):
        create(file=("large.wav", speech(4)), model=MODEL)
    with refused("wrong key", openai.AuthenticationError, 401, "invalid_api_key", None, "API key"):
        client_of(url, "wrong").audio.transcriptions.create(file=SAMPLE, model=MODEL)
    full = (openai.RateLimitError, 429, "rate_limit_exceeded", None, "(1)", "rate_limit_exceeded")
    with refused("overload", *full), only_place_taken(url):
        create(file=SAMPLE, model=MODEL)
    with check("overload that ends: the SDK waits as it is told, and succeeds"), only_place_taken(url) as connection:
        # Its own back-off would be over after half a second; the server asks for a second.
        threading.Timer(0.2, connection.shutdown, [socket.SHUT_RDWR]).start()
        begin, patient = time.monotonic(), client_of(url, max_retries=2).audio.transcriptions
        raw = patient.with_raw_response.create(file=SAMPLE, model=MODEL)
        equal((raw.retries_taken, time.monotonic() - begin >= 1), (1, True), "(retries, whether it waited a second)")
        contains(raw.parse().text, SAID)


def main():
    target = sys.argv[1] if len(sys.argv) > 1 else str(BINARY)
    if target in ("-h", "--help"):
        sys.exit(__doc__)
    own = not target.startswith("http")
    with server(target, STRICT) if own else contextlib.nullcontext(target.rstrip("/")) as url:
        check_answers(url)
        check_refusals(url)
        if own:
            check_limits(url)
    if own:
        late = (openai.InternalServerError, 504, "timeout", None, "time", "server_error")
        with server(target, LATE) as url, refused("too long a transcription", *late):
            client_of(url).audio.transcriptions.create(file=("long.wav", speech(60)), model=MODEL)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
