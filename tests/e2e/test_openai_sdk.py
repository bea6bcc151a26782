"""Answers to the unmodified OpenAI SDK: every format, types, streams, headers."""
import asyncio
import io

import openai
import pytest
from openai.types.audio import (
    Transcription,
    TranscriptionDiarized,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    Translation,
    TranslationVerbose,
)

from sdk import MODEL, assert_typed, client_of
from speech import ENDING, repeated, telephone_call

AUDIO_S = 11  # of the sample
# Kinds of the SDK's argument `file`.
FILES = {
    "path": lambda path: path,
    "open_file": lambda path: path.open("rb"),
    "bytes": lambda path: path.read_bytes(),
    "name_and_bytes": lambda path: ("jfk.wav", path.read_bytes()),
    "name_bytes_and_type": lambda path: ("jfk.wav", path.read_bytes(), "audio/x-wav"),
    "bytes_io": lambda path: io.BytesIO(path.read_bytes()),
}


@pytest.fixture(scope="module")
def url(sdk_server):
    return sdk_server


@pytest.fixture(scope="module")
def client(url):
    return client_of(url)


@pytest.fixture(params=["transcriptions", "translations"])
def route(request, client):
    """A resource of the SDK, and its types for json and verbose_json."""
    types = {"transcriptions": (Transcription, TranscriptionVerbose), "translations": (Translation, TranslationVerbose)}
    return getattr(client.audio, request.param), *types[request.param]


@pytest.mark.parametrize("file", FILES)
def test_json_of_each_kind_of_file(client, sample, file):
    answer = client.audio.transcriptions.create(file=FILES[file](sample), model=MODEL)
    assert type(answer) is Transcription
    assert ENDING in answer.text
    assert (answer.usage.type, answer.usage.seconds) == ("duration", AUDIO_S)


def test_json_with_the_parameters_that_whisper_1_has_at_openai(client, sample):
    answer = client.audio.transcriptions.create(
        file=sample, model="whisper-1", response_format="json", language="en", prompt="Kennedy.", temperature=0,
        stream=False)
    assert "your country" in answer.text


def test_text_is_a_str_of_one_line(client, sample):
    answer = client.audio.transcriptions.create(file=sample, model=MODEL, response_format="text")
    assert ENDING in answer
    assert answer.strip() + "\n" == answer


def test_headers_of_the_raw_response(client, sample):
    raw = client.audio.transcriptions.with_raw_response.create(
        file=sample, model=MODEL, extra_headers={"x-request-id": "check-1"})
    for header in ["openai-processing-ms", "x-queue-ms", "x-inference-ms", "x-batch-size",
                   "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"]:
        assert raw.headers[header].isdecimal(), header
    assert (raw.request_id, raw.parse()._request_id) == ("check-1", "check-1")


def test_models_are_listed_and_retrieved(client):
    models = {model.id: model for model in client.models.list()}
    assert (models[MODEL].object, type(models[MODEL].created)) == ("model", int)
    assert client.models.retrieve(MODEL) == models[MODEL]


def test_the_async_client(url, sample):
    async def ask():
        async with client_of(url, kind=openai.AsyncOpenAI) as client:
            return await client.audio.transcriptions.create(file=sample, model=MODEL)

    assert ENDING in asyncio.run(ask()).text


@pytest.mark.parametrize("model", [openai.omit, "", "gpt-live-transcribe"], ids=["left_out", "empty", "of_openai"])
def test_the_default_model_is_used_where_none_is_named(client, sample, model):
    assert "your country" in client.audio.transcriptions.create(file=sample, model=model).text


def test_json_has_its_fields(route, sample):
    resource, plain, _ = route
    answer = resource.create(file=sample, model=MODEL, response_format="json", temperature=0, prompt="Kennedy.")
    assert_typed(answer, plain, set(plain.model_fields) - {"text", "languages", "usage"})
    assert ENDING in answer.text


@pytest.mark.parametrize(("response_format", "beginning"), [
    ("text", "And so"), ("srt", "1\n00:00:00,000 --> "), ("vtt", "WEBVTT\n\n00:00:00.000 --> ")])
def test_text_and_subtitles_are_str(route, sample, response_format, beginning):
    answer = route[0].create(file=sample, model=MODEL, response_format=response_format, temperature=0)
    assert type(answer) is str
    assert answer[:len(beginning)] == beginning
    assert "your country." in " ".join(answer.split())


@pytest.mark.parametrize(("response_format", "limits"), [
    ("srt", {"max_line_width": 20}), ("vtt", {"max_line_width": 20, "max_line_count": 1})])
def test_subtitles_keep_within_their_limits(route, sample, response_format, limits):
    text = route[0].create(file=sample, model=MODEL, response_format=response_format, temperature=0, extra_body=limits)
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    lines = [block[block.index(next(line for line in block if "-->" in line)) + 1:]
             for block in blocks if block != ["WEBVTT"]]
    assert max(len(line) for block in lines for line in block) <= 20
    assert max(map(len, lines)) <= limits.get("max_line_count", 9)


def test_verbose_json_has_every_field(route, sample):
    resource, _, verbose = route
    answer = resource.create(file=sample, model=MODEL, response_format="verbose_json", temperature=0)
    assert_typed(answer, verbose, {"words"} & set(verbose.model_fields))
    for segment in answer.segments:
        assert_typed(segment, type(answer.segments[0]))
    assert "".join(segment.text for segment in answer.segments).strip() == answer.text
    assert (answer.duration, answer.language) == (AUDIO_S, "english")
    if verbose is TranscriptionVerbose:
        assert (answer.task, answer.usage.seconds) == ("transcribe", AUDIO_S)
    else:
        assert answer.task == "translate"


def test_a_raw_stream_ends_with_its_text(route, sample):
    raw = route[0].with_raw_response.create(file=sample, model=MODEL, extra_body={"stream": True})
    assert "text/event-stream" in raw.headers["content-type"]
    assert '"type":"transcript.text.done"' in raw.text


@pytest.mark.parametrize(("granularities", "absent"), [
    (["word", "segment"], set()), (["word"], {"segments"}), (["segment"], {"words"})])
def test_verbose_json_with_granularities(client, sample, granularities, absent):
    answer = client.audio.transcriptions.create(file=sample, model=MODEL, response_format="verbose_json",
                                                timestamp_granularities=granularities)
    assert_typed(answer, TranscriptionVerbose, absent)
    for item in (answer.words or []) + (answer.segments or []):
        assert_typed(item, type(item))
        assert 0 <= item.start <= item.end <= AUDIO_S
    if answer.words:
        assert " ".join(word.word for word in answer.words) == answer.text


def test_word_timestamps_and_dropped_segments(client, sample):
    answer = client.audio.transcriptions.create(file=sample, model=MODEL, response_format="verbose_json",
                                                include=["dropped"], extra_body={"word_timestamps": True})
    assert_typed(answer, TranscriptionVerbose)
    assert answer.dropped == []


def test_log_probabilities(client, sample):
    answer = client.audio.transcriptions.create(file=sample, model=MODEL, include=["logprobs"])
    assert_typed(answer, Transcription)
    for logprob in answer.logprobs:
        assert_typed(logprob, type(logprob))
        token = bytes(map(int, logprob.bytes)).decode()  # The SDK has them as floats.
        assert (token, logprob.logprob <= 0) == (logprob.token, True)
    assert "".join(logprob.token for logprob in answer.logprobs).strip() == answer.text


def test_diarized_json_names_the_speaker_of_each_channel(client, sample):
    answer = client.audio.transcriptions.create(
        file=("call.wav", telephone_call(sample, delay_s=12)), model=MODEL, response_format="diarized_json",
        extra_body={"channels": "split"})
    assert_typed(answer, TranscriptionDiarized)
    for segment in answer.segments:
        assert_typed(segment, type(segment))
        assert segment.speaker == ("A" if segment.start < 11.5 else "B"), segment
    assert {segment.speaker for segment in answer.segments} == {"A", "B"}
    assert (" ".join(segment.text for segment in answer.segments), answer.duration) == (answer.text, 23)


def test_verbose_json_of_two_channels(client, sample):
    answer = client.audio.transcriptions.create(
        file=("call.wav", telephone_call(sample, delay_s=1)), model=MODEL, response_format="verbose_json",
        extra_body={"channels": "split"})
    assert {segment.speaker for segment in answer.segments} == {"A", "B"}
    starts = [segment.start for segment in answer.segments]
    assert starts == sorted(starts)


@pytest.fixture(scope="module")
def long_file(sample):
    """A file of 33 seconds: more than one window."""
    return {"file": ("long.wav", repeated(sample, 3)), "model": MODEL}


@pytest.fixture(scope="module")
def whole_text(client, long_file):
    """The text of the answer without a stream."""
    return client.audio.transcriptions.create(**long_file).text


def check_events(events):
    """Checks the events of a stream, and returns its text."""
    *deltas, done = events
    for delta in deltas:
        assert_typed(delta, TranscriptionTextDeltaEvent, {"logprobs", "segment_id"})
    assert type(done) is TranscriptionTextDoneEvent
    assert "".join(delta.delta for delta in deltas) == done.text
    assert len(deltas) > 1
    assert (done.usage.type, done.usage.input_token_details.audio_tokens) == ("tokens", 330)
    assert done.text.count("your country") == 6
    return done.text


@pytest.mark.parametrize("response_format", ["json", "text"])
def test_a_stream_has_the_text_of_the_whole_answer(client, long_file, whole_text, response_format):
    events = client.audio.transcriptions.create(**long_file, stream=True, response_format=response_format)
    assert check_events(events) == whole_text


def test_a_stream_of_the_async_client(url, long_file, whole_text):
    async def ask():
        async with client_of(url, kind=openai.AsyncOpenAI) as client:
            return [event async for event in await client.audio.transcriptions.create(**long_file, stream=True)]

    assert check_events(asyncio.run(ask())) == whole_text


def test_a_stream_with_log_probabilities(client, long_file):
    *deltas, done = client.audio.transcriptions.create(**long_file, stream=True, include=["logprobs"])
    logprobs = [logprob.to_dict() for delta in deltas for logprob in delta.logprobs]
    assert logprobs == [logprob.to_dict() for logprob in done.logprobs]
    assert "".join(logprob.token for logprob in done.logprobs).strip() == done.text


def test_a_stream_closed_after_its_first_event_releases_its_permit(client, long_file, whole_text):
    with client.audio.transcriptions.create(**long_file, stream=True) as events:
        next(iter(events))
    # The server has one permit: the SDK tries again while it is still held.
    patient = client.with_options(max_retries=5).audio.transcriptions
    assert patient.create(**long_file).text == whole_text
