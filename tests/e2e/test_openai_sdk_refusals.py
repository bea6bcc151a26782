"""The errors that the OpenAI SDK raises for refused requests: their classes and fields, and its retries."""
import contextlib
import socket
import time

import httpx
import openai
import pytest
from openai.types.audio import TranscriptionTextDeltaEvent

from sdk import INVALID, KEY, MODEL, assert_typed, client_of, raises_error
from speech import ENDING, repeated

ABSENT = (openai.NotFoundError, 404, "model_not_found", "model")
# As slow as possible, so that no machine transcribes eleven minutes of speech within the time limit.
LATE = {"SERVER__REQUEST_TIMEOUT_S": 1, "WHISPER__BEAM_SIZE": 32, "WHISPER__BATCH_SIZE": 1, "WHISPER__NUM_WORKERS": 1,
        "WHISPER__CPU_THREADS": 1}
REFUSED = {
    "unknown_model": ({"model": "large-v9"}, (*ABSENT, "large-v9")),
    "empty_file": ({"file": ("empty.wav", b"")}, (*INVALID, "file", "empty")),
    "no_audio": ({"file": ("garbage.mp3", bytes(range(256)) * 40)}, (*INVALID, "file", "Invalid file format.")),
    "temperature": ({"temperature": 2}, (*INVALID, "temperature", "2")),
    "response_format": ({"response_format": "docx"}, (*INVALID, "response_format", "docx")),
    "language": ({"language": "klingon"}, (*INVALID, "language", "klingon")),
}


@pytest.fixture(scope="module")
def client(sdk_server):
    return client_of(sdk_server)


@pytest.mark.parametrize("what", REFUSED)
def test_an_invalid_request_is_refused(client, sample, what):
    fields, error = REFUSED[what]
    with raises_error(*error):
        client.audio.transcriptions.create(**{"file": sample, "model": MODEL, **fields})


def test_an_unknown_model_cannot_be_retrieved(client):
    with raises_error(*ABSENT, "owner/large-v9"):
        client.models.retrieve("owner/large-v9")


@pytest.fixture
def limited(strict_server):
    """`create` of a server with the limits of `strict_server`, and its address."""
    return client_of(strict_server).audio.transcriptions.create, strict_server


def test_too_large_an_upload_is_refused(limited, sample):
    create, _ = limited
    with raises_error(openai.APIStatusError, 413, None, "file", "2 MiB"):
        create(file=("large.wav", repeated(sample, 8)), model=MODEL)


def test_an_unknown_parameter_is_refused(limited, sample):
    create, _ = limited
    with raises_error(openai.BadRequestError, 400, "unknown_parameter", "beam_sise", "beam_sise"):
        create(file=sample, model=MODEL, extra_body={"beam_sise": 1})


def test_a_wrong_key_is_refused(limited, sample):
    _, url = limited
    with raises_error(openai.AuthenticationError, 401, "invalid_api_key", None, "API key"):
        client_of(url, "wrong").audio.transcriptions.create(file=sample, model=MODEL)


@contextlib.contextmanager
def only_permit_held(url):
    """Holds the server's only permit, with a request whose body is never sent."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"POST /v1/audio/transcriptions?model={MODEL} HTTP/1.1\r\nHost: {host}\r\n"
                           f"Authorization: Bearer {KEY}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n".encode())
        assert b" 100 " in connection.recv(100), "100 Continue means that it has the permit"
        yield connection


def test_a_full_server_refuses(limited, sample):
    create, url = limited
    full = (openai.RateLimitError, 429, "rate_limit_exceeded", None, "(1)", "rate_limit_exceeded")
    with raises_error(*full), only_permit_held(url):
        create(file=sample, model=MODEL)


def test_the_sdk_waits_for_retry_after_and_succeeds(limited, sample):
    """Between a refusal and its next request the SDK waits for the time in the refusal."""
    _, url = limited
    sent_at, refusals = [], []  # time of each request; time and retry-after-ms of each refusal
    with only_permit_held(url) as connection:
        def refused_or_answered(response):
            if response.status_code == 429:
                refusals.append((time.monotonic(), int(response.headers["retry-after-ms"])))
                if len(refusals) == 1:
                    connection.shutdown(socket.SHUT_RDWR)  # releases the permit

        hooks = {"request": [lambda request: sent_at.append(time.monotonic())], "response": [refused_or_answered]}
        with httpx.Client(event_hooks=hooks, timeout=60) as http:
            patient = client_of(url, max_retries=2).with_options(http_client=http).audio.transcriptions
            raw = patient.with_raw_response.create(file=sample, model=MODEL)
    assert 1 <= raw.retries_taken == len(refusals)
    assert ENDING in raw.parse().text
    for (refused_at, wait_ms), next_at in zip(refusals, sent_at[1:]):
        assert next_at - refused_at >= wait_ms / 1000, (refusals, sent_at)


@pytest.fixture(scope="module")
def late(module_server, sample):
    """`create` of a server that never finishes in time, and the fields of a request."""
    url = module_server("sdk-late", WHISPER__MODEL=MODEL, LOG_LEVEL="critical", **LATE).url
    return client_of(url).audio.transcriptions.create, {"file": ("long.wav", repeated(sample, 60)), "model": MODEL}


def test_too_long_a_transcription_is_an_error(late):
    create, fields = late
    with raises_error(openai.InternalServerError, 504, "timeout", None, "time", "server_error"):
        create(**fields)


def test_a_failure_in_the_middle_of_a_stream_is_an_api_error(late):
    create, fields = late

    def read():
        for event in create(stream=True, **fields):
            assert_typed(event, TranscriptionTextDeltaEvent, {"logprobs", "segment_id"})

    with pytest.raises(openai.APIError) as raised:
        read()
    error = raised.value
    assert (type(error), error.type, error.code) == (openai.APIError, "server_error", "timeout")
