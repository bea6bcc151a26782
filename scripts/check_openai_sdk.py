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
from openai.types.audio import (Transcription, TranscriptionDiarized, TranscriptionTextDeltaEvent,
                                TranscriptionTextDoneEvent, TranscriptionVerbose, Translation, TranslationVerbose)

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "halkspeech"
BINARY = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target") / "release" / "halkspeech"
SAMPLE = pathlib.Path(os.environ.get("SAMPLES_DIR") or CACHE / "samples") / "jfk.wav"
MODEL, SAID = "tiny.en", "ask what you can do for your country"
KEY = os.environ.get("OPENAI_API_KEY") or "key of the check"
# Every refusal but the one for lateness can be met under these.
STRICT = {"API_KEY": KEY, "SERVER__MAX_UPLOAD_MIB": "2", "WHISPER__MAX_CONCURRENT_REQUESTS": "1",
          "SERVER__REJECT_UNKNOWN_FIELDS": "true"}
# As slow as it goes, so that no machine transcribes eleven minutes of speech within the time.
LATE = {"SERVER__REQUEST_TIMEOUT_S": "1", "WHISPER__BEAM_SIZE": "32", "WHISPER__BATCH_SIZE": "1",
        "WHISPER__NUM_WORKERS": "1", "WHISPER__CPU_THREADS": "1"}
# Parameters by their names: a valid value, and where there is one an invalid one. OpenAI's are arguments of the SDK,
# all others go into `extra_body`.
LONG = "a" * 70_000
FIRST = {
    # OpenAI's.
    "language": ("English", "klingon"), "languages": (["en", "eng"], ["en", "klingon"]), "prompt": ("Kennedy.", LONG),
    "keywords": (["Americans", "country"], ["a" * 201]), "temperature": (0, 1.5),
    "include": (["logprobs"], ["words"]), "timestamp_granularities": (["segment"], ["letter"]),
    "chunking_strategy": ("auto", "manual"),
    # Audio, hints and channels.
    "offset": (0.1, -1), "duration": (10.9, 0), "channels": ("split", "left"), "hotwords": ("Kennedy", LONG),
    # Choosing words.
    "beam_size": (2, 0), "best_of": (3, 33), "patience": (1.5, 0), "length_penalty": (0.9, 11),
    "repetition_penalty": (1.05, 0), "no_repeat_ngram_size": (5, 225), "suppress_tokens": ([-1, 13], [51_864]),
    "without_timestamps": (False, "no"), "condition_on_previous_text": (True, 2),
    # When a text is not believed.
    "compression_ratio_threshold": (2.5, 101), "logprob_threshold": (-2, 1), "no_speech_threshold": (0.7, 2),
    "hallucination_silence_threshold": (2, -1),
    # Speech and silence.
    "vad_filter": (True, "on"), "vad_threshold": (0.4, 2), "vad_min_speech_ms": (100, 60_001),
    "vad_min_silence_ms": (500, 0.5), "vad_max_speech_s": (20, 0), "vad_speech_pad_ms": (200, 10_001),
}
# Other names of the same, and OpenAI's object, in place of those above.
OTHER = {
    "initial_prompt": ("Kennedy.", LONG), "no_timestamps": (True, "no"), "logprob_thold": ("none", 1),
    "no_speech_thold": ("none", 2), "compression_ratio_threshold": ("none", -1), "vad": (True, "on"),
    "vad_min_speech_duration_ms": (100, -1), "vad_min_silence_duration_ms": (500, -1),
    "vad_max_speech_duration_s": (20, 604_801), "temperature": ([0, 0.4], [0, 2]),
    "chunking_strategy": ({"type": "server_vad", "threshold": 0.4, "prefix_padding_ms": 200,
                           "silence_duration_ms": 300}, {"type": "semantic_vad"}),
}
MEMBERS = {"threshold": (0.4, 2), "min_speech_duration_ms": (100, -1), "min_silence_duration_ms": (500, -1),
           "max_speech_duration_s": (20, 0), "speech_pad_ms": (200, 10_001)}
THIRD = {"log_prob_threshold": (-2, 1), "vad_filter": (False, 2), "channels": ("mix", "both"),
         "suppress_tokens": ("[]", "x"), **{f"vad_parameters[{name}]": values for name, values in MEMBERS.items()}}
OPENAI = {"language", "languages", "prompt", "keywords", "temperature", "include", "timestamp_granularities",
          "chunking_strategy", "response_format", "stream", "known_speaker_names", "known_speaker_references"}
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


def typed(answer, kind, absent=()):
    """Checks that an answer is of a type of the SDK, with every field but those `absent`, and all the way down.

    The SDK itself validates nothing: what the server leaves out is an attribute that is not there.
    """
    equal(type(answer), kind, "type")
    kind.model_validate(answer.model_dump(exclude_unset=True), strict=True)
    equal(set(kind.model_fields) - answer.model_fields_set, set(absent), "fields left out")


def arguments(fields):
    """Parameters as the arguments of a call: what the SDK does not know goes into `extra_body`."""
    own = {name: value for name, value in fields.items() if name not in OPENAI}
    return {name: value for name, value in fields.items() if name in OPENAI} | {"extra_body": own}


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


def call(delay_s):
    """The sample in one channel, and so many seconds later in the other, as a WAV file."""
    file = io.BytesIO()
    with wave.open(str(SAMPLE)) as sample, wave.open(file, "wb") as stereo:
        equal((sample.getnchannels(), sample.getsampwidth()), (1, 2), "(channels, bytes of a sample)")
        stereo.setparams(sample.getparams()._replace(nchannels=2))
        said, silence = sample.readframes(sample.getnframes()), bytes(2 * sample.getframerate() * delay_s)
        pairs = bytearray(2 * len(said + silence))
        for channel, samples in enumerate([said + silence, silence + said]):
            for byte in range(2):
                pairs[2 * channel + byte::4] = samples[byte::2]
        stereo.writeframes(pairs)
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
    with check("json by its name, with the parameters that whisper-1 has at OpenAI"):
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


def check_formats(url):
    client = client_of(url)
    transcriptions, translations = client.audio.transcriptions, client.audio.translations
    for audio, plain, verbose in [(transcriptions, Transcription, TranscriptionVerbose),
                                  (translations, Translation, TranslationVerbose)]:
        name = type(audio).__name__.lower()

        def ask(response_format, audio=audio, **more):
            return audio.create(file=SAMPLE, model=MODEL, response_format=response_format, temperature=0, **more)
        with check(f"{name}: json"):
            answer = ask("json", prompt="Kennedy.")
            typed(answer, plain, set(plain.model_fields) - {"text", "usage"})
            contains(answer.text, SAID)
        with check(f"{name}: text, srt and vtt are str"):
            answers = [ask(response_format) for response_format in ("text", "srt", "vtt")]
            equal([type(answer) for answer in answers], [str] * 3, "types")
            for answer, begin in zip(answers, ["And so", "1\n00:00:00,000 --> ", "WEBVTT\n\n00:00:00.000 --> "]):
                equal(answer[:len(begin)], begin, "beginning")
                contains(" ".join(answer.split()), "your country.")
        for named, limit in [("srt", {"max_line_width": 20}), ("vtt", {"max_line_width": 20, "max_line_count": 1})]:
            with check(f"{name}: {named} with {' and '.join(limit)}"):
                blocks = [block.split("\n") for block in ask(named, extra_body=limit).strip().split("\n\n")]
                lines = [block[block.index(next(line for line in block if "-->" in line)) + 1:]
                         for block in blocks if block != ["WEBVTT"]]
                equal(max(len(line) for block in lines for line in block) <= 20, True, "no line is too long")
                equal(limit.get("max_line_count", 9) >= max(map(len, lines)), True, "no subtitle is too high")
        with check(f"{name}: verbose_json, every field of it"):
            answer = ask("verbose_json")
            typed(answer, verbose, {"words"} & set(verbose.model_fields))
            for segment in answer.segments:
                typed(segment, type(answer.segments[0]))
            equal("".join(segment.text for segment in answer.segments).strip(), answer.text, "text of the segments")
            equal((answer.duration, answer.language), (11, "english"), "(duration, language)")
            equal((answer.task, answer.usage.seconds if audio is transcriptions else 11),
                  ("transcribe" if audio is transcriptions else "translate", 11), "(task, seconds)")
        with check(f"{name}: stream"):
            raw = audio.with_raw_response.create(file=SAMPLE, model=MODEL, extra_body={"stream": True})
            contains(raw.headers["content-type"], "text/event-stream")
            contains(raw.text, '"type":"transcript.text.done"')

    for granularities, absent in [(["word", "segment"], set()), (["word"], {"segments"}), (["segment"], {"words"})]:
        with check(f"verbose_json with the granularities {' and '.join(granularities)}"):
            answer = transcriptions.create(file=SAMPLE, model=MODEL, response_format="verbose_json",
                                           timestamp_granularities=granularities)
            typed(answer, TranscriptionVerbose, absent)
            for item in (answer.words or []) + (answer.segments or []):
                typed(item, type(item))
                equal(0 <= item.start <= item.end <= 11, True, f"{item} is in the recording")
            if answer.words:
                equal(" ".join(word.word for word in answer.words), answer.text, "words")
    with check("word_timestamps and include dropped"):
        answer = transcriptions.create(file=SAMPLE, model=MODEL, response_format="verbose_json", include=["dropped"],
                                       extra_body={"word_timestamps": True})
        typed(answer, TranscriptionVerbose)
        equal(answer.dropped, [], "dropped")
    with check("include logprobs"):
        answer = transcriptions.create(file=SAMPLE, model=MODEL, include=["logprobs"])
        typed(answer, Transcription, {"languages"})
        for logprob in answer.logprobs:
            typed(logprob, type(logprob))
            token = bytes(map(int, logprob.bytes)).decode()  # The SDK has them as floats.
            equal((token, logprob.logprob <= 0), (logprob.token, True), "(token, whether it has a probability)")
        equal("".join(logprob.token for logprob in answer.logprobs).strip(), answer.text, "tokens")
    with check("diarized_json: who spoke in which channel"):
        answer = transcriptions.create(file=("call.wav", call(delay_s=12)), model=MODEL,
                                       response_format="diarized_json", extra_body={"channels": "split"})
        typed(answer, TranscriptionDiarized)
        for segment in answer.segments:
            typed(segment, type(segment))
            equal(segment.speaker, "A" if segment.start < 11.5 else "B", f"speaker of {segment}")
        equal({segment.speaker for segment in answer.segments}, {"A", "B"}, "speakers")
        equal((" ".join(segment.text for segment in answer.segments), answer.duration), (answer.text, 23), "text")
    with check("verbose_json of two channels"):
        answer = transcriptions.create(file=("call.wav", call(delay_s=1)), model=MODEL, response_format="verbose_json",
                                       extra_body={"channels": "split"})
        equal({segment.speaker for segment in answer.segments}, {"A", "B"}, "speakers")
        starts = [segment.start for segment in answer.segments]
        equal(starts, sorted(starts), "starts")


def check_events(events):
    """Checks the events of a stream, and gives its text."""
    *deltas, done = events
    for delta in deltas:
        typed(delta, TranscriptionTextDeltaEvent, {"logprobs", "segment_id"})
    equal(type(done), TranscriptionTextDoneEvent, "type")
    equal("".join(delta.delta for delta in deltas), done.text, "deltas")
    equal(len(deltas) > 1, True, "more than one delta")
    equal((done.usage.type, done.usage.input_token_details.audio_tokens), ("tokens", 330), "usage")
    equal(done.text.count("your country"), 6, "times it is said")
    return done.text


def check_streams(url):
    asked, texts = {"file": ("long.wav", speech(3)), "model": MODEL, "stream": True}, []
    create = client_of(url).audio.transcriptions.create
    for response_format in ["json", "text"]:
        with check(f"stream: {response_format}"):
            texts.append(check_events(create(response_format=response_format, **asked)))

    async def ask():
        async with client_of(url, kind=openai.AsyncOpenAI) as client:
            return [event async for event in await client.audio.transcriptions.create(**asked)]
    with check("stream: the async client"):
        texts.append(check_events(asyncio.run(ask())))
    with check("stream: the same text as without"):
        texts.append(create(**{**asked, "stream": False}).text)
        equal(len(set(texts)), 1, f"different texts, {texts},")
    with check("stream: logprobs"):
        *deltas, done = create(include=["logprobs"], **asked)
        pieces = [logprob.to_dict() for delta in deltas for logprob in delta.logprobs]
        equal(pieces, [logprob.to_dict() for logprob in done.logprobs], "log probabilities")
        equal("".join(logprob.token for logprob in done.logprobs).strip(), done.text, "tokens")
    with check("stream: an answer that nobody waits for"):
        with create(**asked) as events:
            next(iter(events))


def check_parameters(url):
    create = client_of(url).audio.transcriptions.create
    for name, all_of in [("many", FIRST), ("their other names", OTHER), ("the rest", THIRD)]:
        fields = {name: valid for name, (valid, _) in all_of.items()}
        with check(f"parameters: {name} at once"):
            contains(create(file=SAMPLE, model=MODEL, **arguments(fields)).text, "your country")
    with check("parameters: vad_parameters as an object"):
        fields = {"vad_parameters": {name: valid for name, (valid, _) in MEMBERS.items()}, "vad": True}
        contains(create(file=SAMPLE, model=MODEL, extra_body=fields).text, "your country")
    for name, fields in [
        ("a temperature above 0", {"temperature": 0.2, "best_of": 2}),
        ("chunking_strategy server_vad alone", {"chunking_strategy": {"type": "server_vad"}}),
        ("chunking_strategy auto alone", {"chunking_strategy": "auto"}),
        ("no timestamps where times show", {"response_format": "srt", "without_timestamps": True}),
    ]:
        with check(f"parameters: {name}"):
            answer = create(file=SAMPLE, model=MODEL, **arguments(fields))
            contains(getattr(answer, "text", answer), "your country")
    with check("parameters: offset and duration cut, and keep times"):
        answer = create(file=SAMPLE, model=MODEL, response_format="verbose_json",
                        extra_body={"offset": 7.5, "duration": 3.5})
        equal(answer.segments[0].start >= 7.5, True, "times are the recording's")
        equal((SAID in answer.text, "fellow" in answer.text), (True, False), "(its end, its beginning)")
    invalid = (openai.BadRequestError, 400, "invalid_value")
    elsewhere = {"max_line_width": (20, 1_001), "max_line_count": (1, 0), "stream": (True, "maybe"),
                 "word_timestamps": (True, "maybe"), "vad_parameters": ({}, 3)}
    for all_of in [FIRST, OTHER, THIRD, elsewhere]:
        for name, (_, value) in all_of.items():
            param = f"{name}[type]" if isinstance(value, dict) else name
            with refused(f"invalid {name}", *invalid, param, f"'{param}'"):
                create(file=SAMPLE, model=MODEL, **arguments({name: value}))
    for name in ["threshold", "prefix_padding_ms", "silence_duration_ms"]:
        param = f"chunking_strategy[{name}]"
        with refused(f"invalid {param}", *invalid, param, "-1"):
            create(file=SAMPLE, model=MODEL, chunking_strategy={"type": "server_vad", name: -1})
    for fields in [
        {"timestamp_granularities": ["word"]}, {"word_timestamps": True}, {"include": ["dropped"]},
        {"include": ["logprobs"], "response_format": "verbose_json"}, {"max_line_width": 20}, {"max_line_count": 1},
        {"stream": True, "response_format": "srt"}, {"stream": True, "channels": "split"},
        {"response_format": "diarized_json"}, {"patience": 0.4, "beam_size": 1},
        {"known_speaker_names": ["Ann"]}, {"known_speaker_references": ["data:audio/wav;base64,"]},
        {"languages": ["tr"]}, {"language": "tr"},  # The model knows English only.
    ]:
        with refused(f"not together: {fields}", *invalid, next(iter(fields)), f"'{next(iter(fields))}'"):
            create(file=SAMPLE, model=MODEL, **arguments(fields))
    with refused("diarized_json of a translation", *invalid, "response_format", "diarized_json"):
        client_of(url).audio.translations.create(file=SAMPLE, model=MODEL, response_format="diarized_json",
                                                 extra_body={"channels": "split"})


def check_default_model(url):
    for name, model in [("left out", openai.omit), ("empty", ""), ("one of OpenAI's names", "gpt-live-transcribe")]:
        with check(f"model {name}"):
            contains(client_of(url).audio.transcriptions.create(file=SAMPLE, model=model).text, "your country")


def check_refusals(url):
    client = client_of(url)
    bad, absent = (openai.BadRequestError, 400), (openai.NotFoundError, 404, "model_not_found", "model")
    invalid = (*bad, "invalid_value")
    for name, fields, expected in [
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
    with refused("too large an upload", openai.APIStatusError, 413, None, "file", "2 MiB"):
        create(file=("large.wav", speech(8)), model=MODEL)
    with refused("unknown parameter", openai.BadRequestError, 400, "unknown_parameter", "beam_sise", "beam_sise"):
        create(file=SAMPLE, model=MODEL, extra_body={"beam_sise": 1})
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
        check_formats(url)
        check_streams(url)
        check_parameters(url)
        check_default_model(url)
        check_refusals(url)
        if own:
            check_limits(url)
    if own:
        late = (openai.InternalServerError, 504, "timeout", None, "time", "server_error")
        with server(target, LATE) as url:
            asked = {"file": ("long.wav", speech(60)), "model": MODEL}
            with refused("too long a transcription", *late):
                client_of(url).audio.transcriptions.create(**asked)
            with check("stream: what fails in its middle is an APIError"):
                try:
                    for event in client_of(url).audio.transcriptions.create(stream=True, **asked):
                        typed(event, TranscriptionTextDeltaEvent, {"logprobs", "segment_id"})
                except openai.APIError as error:
                    equal((type(error), error.type, error.code), (openai.APIError, "server_error", "timeout"), "error")
                else:
                    raise AssertionError("nothing was raised")
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(not all(results))


if __name__ == "__main__":
    main()
