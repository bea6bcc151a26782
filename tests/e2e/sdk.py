"""Clients of the OpenAI SDK and checks of its answers; only `base_url` differs from a program for OpenAI."""
import contextlib
import os

import openai
import pytest

MODEL = "tiny.en"
KEY = os.environ.get("OPENAI_API_KEY") or "key of the check"
# Parameters that are arguments of the SDK; all others go into `extra_body`.
OPENAI = {"language", "languages", "prompt", "keywords", "temperature", "include", "timestamp_granularities",
          "chunking_strategy", "response_format", "stream", "known_speaker_names", "known_speaker_references"}
# Status and code of a refused value.
INVALID = (openai.BadRequestError, 400, "invalid_value")


def client_of(url, key=KEY, kind=openai.OpenAI, max_retries=0):
    return kind(base_url=f"{url}/v1", api_key=key, max_retries=max_retries)


def arguments(fields):
    """Parameters as the arguments of a call."""
    own = {name: value for name, value in fields.items() if name not in OPENAI}
    return {name: value for name, value in fields.items() if name in OPENAI} | {"extra_body": own}


def assert_typed(answer, kind, absent=()):
    """Checks that an answer is of a type of the SDK, with every field but those `absent`, at every depth.

    The SDK itself validates nothing: a field that the server omits is a missing attribute.
    """
    assert type(answer) is kind
    kind.model_validate(answer.model_dump(exclude_unset=True), strict=True)
    assert set(kind.model_fields) - answer.model_fields_set == set(absent), "fields left out"


@contextlib.contextmanager
def raises_error(kind, status, code, param, message_part, type="invalid_request_error"):
    """The block must raise exactly this exception with exactly these fields."""
    with pytest.raises(openai.APIStatusError) as raised:
        yield
    error = raised.value
    assert (error.__class__, error.status_code) == (kind, status)
    assert (error.type, error.code, error.param) == (type, code, param)
    message = error.body["message"]
    assert error.body == {"message": message, "type": type, "param": param, "code": code}
    assert message_part in message
    assert message in error.message
    assert error.response.headers["x-request-id"] in error.request_id
