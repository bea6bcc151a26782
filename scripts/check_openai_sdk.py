#!/usr/bin/env python3
"""Checks a HalkSpeech server with the unmodified OpenAI SDK: only `base_url` differs from a program for OpenAI.

usage: check_openai_sdk.py [BINARY | URL]

BINARY  the server's program, started on free ports with settings under which every refusal can be met, and stopped
        at the end (default: $CARGO_TARGET_DIR/release/halkspeech, where CARGO_TARGET_DIR is as in the Makefile)
URL     a running server, for example http://localhost:8000; its key is $OPENAI_API_KEY. What takes settings of its
        own (limits, overload, timeout) is left out.

Needs `pip install openai`, the model tiny.en and the sample jfk.wav (`make models`).
"""
import argparse
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
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
SAMPLE = pathlib.Path(os.environ.get("SAMPLES_DIR") or CACHE / "samples") / "jfk.wav"
MODEL = "tiny.en"
SAID = "ask what you can do for your country"
KEY = "key of the check"
INVALID = "invalid_request_error"

# Every refusal but the one for lateness can be met under these.
STRICT = {"API_KEY": KEY, "SERVER__MAX_UPLOAD_MIB": "1", "WHISPER__MAX_CONCURRENT_REQUESTS": "1"}
# As slow as it goes, so that no machine transcribes minutes of speech within the time.
LATE = {"SERVER__REQUEST_TIMEOUT_S": "1", "WHISPER__BEAM_SIZE": "32", "WHISPER__BATCH_SIZE": "1",
        "WHISPER__NUM_WORKERS": "1", "WHISPER__CPU_THREADS": "1"}

results = []


@contextlib.contextmanager
def check(name):
    """Prints whether the block ran without an exception, and goes on either way."""
    try:
        yield
    except Exception as error:  # Whatever it is, the check has failed.
        results.append(False)
        print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
    else:
        results.append(True)
        print(f"ok    {name}", flush=True)


def equal(found, expected, what="value"):
    if found != expected:
        raise AssertionError(f"{what} is {found!r}, not {expected!r}")


def contains(text, piece):
    if piece not in text:
        raise AssertionError(f"no {piece!r} in {text!r}")


@contextlib.contextmanager
def refused(name, kind, status, type, code, param, piece=""):
    """A check whose block must raise exactly this exception with exactly these fields."""
    with check(name):
        try:
            yield
        except openai.APIStatusError as error:
            equal(error.__class__, kind, "class")
            equal(error.status_code, status, "status_code")
            equal((error.type, error.code, error.param), (type, code, param), "(type, code, param)")
            equal(sorted(error.body), ["code", "message", "param", "type"], "keys of body")
            equal(tuple(error.body[key] for key in ("type", "code", "param")), (type, code, param), "body")
            equal(error.request_id, error.response.headers["x-request-id"], "request_id")
            contains(error.body["message"], piece)
            contains(error.message, error.body["message"])
        else:
            raise AssertionError("nothing was raised")


@contextlib.contextmanager
def server(binary, settings):
    """Runs the program until the block ends; gives its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {"UVICORN_HOST": "127.0.0.1", "UVICORN_PORT": str(port), "WHISPER__MODEL": MODEL,
                "LOG_LEVEL": "error", **settings}
    process = subprocess.Popen([binary, "serve"], env={**os.environ, **settings}, stdout=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ready"):
                break
            if process.poll() is not None:
                sys.exit(f"{binary} stopped with status {process.returncode}")
            time.sleep(0.1)
        else:
            sys.exit(f"{binary} was not ready within a minute")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def client_of(url, key, kind=openai.OpenAI, **options):
    return kind(base_url=f"{url}/v1", api_key=key, **{"max_retries": 0, **options})


def speech(times):
    """The sample so many times over, as a WAV file."""
    file = io.BytesIO()
    with wave.open(str(SAMPLE)) as sample, wave.open(file, "wb") as longer:
        longer.setparams(sample.getparams())
        longer.writeframes(sample.readframes(sample.getnframes()) * times)
    return file.getvalue()


def check_answers(url, key):
    client = client_of(url, key)
    transcribe = client.audio.transcriptions.create
    audio = SAMPLE.read_bytes()
    for name, file in [("a path", SAMPLE), ("an open file", SAMPLE.open("rb")), ("bytes", audio),
                       ("a tuple of name and bytes", ("jfk.wav", audio)),
                       ("a tuple with its type", ("jfk.wav", audio, "audio/x-wav")), ("BytesIO", io.BytesIO(audio))]:
        with check(f"json of {name}"):
            answer = transcribe(file=file, model=MODEL)
            equal(type(answer), Transcription, "type")
            contains(answer.text, SAID)
            equal((answer.usage.type, answer.usage.seconds), ("duration", 11), "usage")
    with check("json by name, and every parameter of this version"):
        answer = transcribe(file=SAMPLE, model=MODEL, response_format="json", language="en", prompt="Kennedy.",
                            temperature=0, stream=False)
        contains(answer.text, SAID)
    with check("text is a str"):
        answer = transcribe(file=SAMPLE, model=MODEL, response_format="text")
        equal(type(answer), str, "type")
        contains(answer, SAID)
        equal(answer.splitlines(keepends=True), [answer.strip() + "\n"], "lines")
    with check("whisper-1 is the default model"):
        contains(transcribe(file=SAMPLE, model="whisper-1").text, "country")
    with check("headers of the raw response"):
        raw = client.audio.transcriptions.with_raw_response.create(file=SAMPLE, model=MODEL,
                                                                    extra_headers={"x-request-id": "check-1"})
        for header in ("openai-processing-ms", "x-queue-ms", "x-inference-ms", "x-batch-size",
                       "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"):
            contains("0123456789", raw.headers[header][0])
        equal(raw.headers["content-type"], "application/json", "content-type")
        equal((raw.request_id, raw.parse()._request_id), ("check-1", "check-1"), "request id")
        contains(raw.parse().text, SAID)
    with check("streamed response"):
        create = client.audio.transcriptions.with_streaming_response.create
        with create(file=SAMPLE, model=MODEL, response_format="text") as response:
            contains("".join(response.iter_text()), SAID)
    with check("models.list"):
        models = {model.id: model for model in client.models.list()}
        contains(models, MODEL)
        equal((models[MODEL].object, type(models[MODEL].created)), ("model", int), "(object, type of created)")
    with check("models.retrieve"):
        equal(client.models.retrieve(MODEL), models[MODEL], "model")

    async def transcribe_together():
        async with client_of(url, key, openai.AsyncOpenAI, max_retries=5) as client:
            create = client.audio.transcriptions.create
            return await asyncio.gather(*(create(file=SAMPLE, model=MODEL) for _ in range(2)))
    with check("two at once with the async client"):
        for answer in asyncio.run(transcribe_together()):
            contains(answer.text, SAID)


def check_refusals(url, key):
    client = client_of(url, key)
    transcribe = client.audio.transcriptions.create
    bad, absent = (openai.BadRequestError, 400, INVALID), (openai.NotFoundError, 404, INVALID, "model_not_found")
    with refused("model left out", *bad, "missing_required_parameter", "model", "whisper-1"):
        transcribe(file=SAMPLE, model=openai.omit)
    with refused("empty model", *bad, "missing_required_parameter", "model", "whisper-1"):
        transcribe(file=SAMPLE, model="")
    with refused("unknown model", *absent, "model", "large-v9"):
        transcribe(file=SAMPLE, model="large-v9")
    with refused("retrieve an unknown model", *absent, "model", "owner/large-v9"):
        client.models.retrieve("owner/large-v9")
    with refused("empty file", *bad, "invalid_value", "file", "empty"):
        transcribe(file=("empty.wav", b""), model=MODEL)
    with refused("file that is no audio", *bad, "invalid_value", "file", "Invalid file format. Supported formats: ["):
        transcribe(file=("garbage.mp3", bytes(range(256)) * 40), model=MODEL)
    with refused("temperature out of range", *bad, "invalid_value", "temperature", "2"):
        transcribe(file=SAMPLE, model=MODEL, temperature=2)
    with refused("unknown response_format", *bad, "invalid_value", "response_format", "docx"):
        transcribe(file=SAMPLE, model=MODEL, response_format="docx")
    with refused("unknown language", *bad, "invalid_value", "language", "klingon"):
        transcribe(file=SAMPLE, model=MODEL, language="klingon")

    async def ask():
        async with client_of(url, key, openai.AsyncOpenAI) as client:
            await client.audio.transcriptions.create(file=SAMPLE, model="large-v9")
    with refused("unknown model with the async client", *absent, "model", "large-v9"):
        asyncio.run(ask())


@contextlib.contextmanager
def only_place_taken(url):
    """Holds the one place of the server, with a request whose body never comes."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        head = (f"POST /v1/audio/transcriptions?model={MODEL} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEY}\r\n"
                "Content-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        connection.sendall(head.encode())
        contains(connection.recv(100), b" 100 ")
        yield connection


def check_limits(url):
    transcribe = client_of(url, KEY).audio.transcriptions.create
    for name, file in [("bytes", bytes(2 << 20)), ("a long recording", speech(4))]:
        with refused(f"too large an upload: {name}", openai.APIStatusError, 413, INVALID, None, "file", "1 MiB"):
            transcribe(file=("large.wav", file), model=MODEL)
    wrong = (openai.AuthenticationError, 401, INVALID, "invalid_api_key", None, "API key")
    with refused("wrong key", *wrong):
        client_of(url, "wrong").audio.transcriptions.create(file=SAMPLE, model=MODEL)
    with refused("wrong key for the models", *wrong):
        client_of(url, "wrong").models.list()
    full = (openai.RateLimitError, 429, "rate_limit_exceeded", "rate_limit_exceeded", None, "(1)")
    with refused("overload without retries", *full), only_place_taken(url):
        transcribe(file=SAMPLE, model=MODEL)
    with check("overload that ends: the SDK waits as told and succeeds"), only_place_taken(url) as place:
        threading.Timer(0.3, place.shutdown, [socket.SHUT_RDWR]).start()
        begin = time.monotonic()
        patient = client_of(url, KEY, max_retries=2).audio.transcriptions
        raw = patient.with_raw_response.create(file=SAMPLE, model=MODEL)
        contains(raw.parse().text, SAID)
        equal((raw.retries_taken, time.monotonic() - begin >= 1), (1, True), "(retries, whether a second was waited)")


def check_lateness(url):
    transcribe = client_of(url, "none").audio.transcriptions.create
    with refused("timeout", openai.InternalServerError, 504, "server_error", "timeout", None, "time"):
        transcribe(file=("long.wav", speech(60)), model=MODEL)
    with refused("too slow an upload", openai.APIStatusError, 408, INVALID, "timeout", None, "time"):
        transcribe(file=SlowFile(SAMPLE.read_bytes()), model=MODEL)


class SlowFile(io.BytesIO):
    """A file that takes two seconds to read."""

    def read(self, size=-1):
        time.sleep(2)
        return super().read(size)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", default=str(TARGET / "release" / "halkspeech"), metavar="BINARY | URL")
    target = parser.parse_args().target
    if target.startswith("http"):
        key = os.environ.get("OPENAI_API_KEY") or "none"
        check_answers(target.rstrip("/"), key)
        check_refusals(target.rstrip("/"), key)
    else:
        with server(target, STRICT) as url:
            check_answers(url, KEY)
            check_refusals(url, KEY)
            check_limits(url)
        with server(target, LATE) as url:
            check_lateness(url)
    passed = sum(results)
    print(f"{passed} passed, {len(results) - passed} failed")
    sys.exit(passed < len(results))


if __name__ == "__main__":
    main()
