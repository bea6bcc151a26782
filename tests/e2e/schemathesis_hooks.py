"""Data that Schemathesis cannot generate for test_openapi.py: recordings, and the name of an existing model.

Schemathesis loads this file by SCHEMATHESIS_HOOKS; SAMPLE is a recording. Without it every upload would be refused for
its bytes or its model, and transcription would not be tested.
"""
import atexit
import collections
import json
import os
import pathlib
import wave

import schemathesis
from hypothesis import strategies

MODELS = ("whisper-1", "whisper-1", "whisper-1", "no/such", "")


def first_seconds(seconds):
    """The first seconds of the sample, as a WAV file."""
    path = pathlib.Path("beginning.wav").absolute()
    with wave.open(os.environ["SAMPLE"]) as whole, wave.open(str(path), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(int(seconds * whole.getframerate())))
    return path.read_bytes()


SPEECH = first_seconds(1)
RECORDINGS = strategies.one_of(
    strategies.sampled_from([SPEECH, SPEECH, SPEECH, SPEECH[:50], SPEECH[:3_001]]),
    strategies.binary(max_size=1_000),
)
schemathesis.openapi.format("binary", RECORDINGS)
schemathesis.openapi.media_type("application/octet-stream", RECORDINGS)


@schemathesis.hook
def filter_case(context, case):
    """Not the path of OpenAI's WebRTC calls, which is served for its message alone and not documented."""
    return case.path != "/v1/realtime" or case.method == "GET"


@schemathesis.hook
def filter_query(context, query):
    """No parameter twice: the last one counts, as in most servers, which no schema describes."""
    return not any(isinstance(value, list) and len(value) > 1 and not name.endswith("[]")
                   for name, value in (query or {}).items())


@schemathesis.hook
def before_call(context, case, kwargs):
    """An upload needs an existing model, in its form or in the query of a bare body; a valid one also needs compatible
    fields, which no schema describes (docs/api.md)."""
    if "/audio/" not in case.path:
        return
    is_form = isinstance(case.body, dict)
    fields = case.body if is_form else case.query
    model = fields.get("model", "")
    if isinstance(model, str):
        fields["model"] = MODELS[len(model) % len(MODELS)]
    if case.meta and case.meta.generation.mode.is_positive:
        drop_incompatible(fields)
        if is_form:
            # A field in the form and in the query would have to be compatible with both.
            case.query.clear()


def drop_incompatible(fields):
    """Drops fields that are incompatible with the format of the answer, or with other fields."""
    form, split = fields.get("response_format", "json"), fields.get("channels") == "split"
    if form == "diarized_json":
        fields["channels"], split = "split", True
    allowed = {"word_timestamps": ["verbose_json"], "timestamp_granularities[]": ["verbose_json"], "include[]": [],
               "max_line_width": ["srt", "vtt"], "max_line_count": ["srt", "vtt"],
               "stream": [] if split else ["json", "text", "verbose_json"]}
    for name, forms in allowed.items():
        if form not in forms:
            fields.pop(name, None)
    # The networks of speaker diarization may be missing.
    for name in ("diarize", "speaker_labels", "num_speakers", "min_speakers", "max_speakers", "known_speaker_names[]",
                 "known_speaker_references[]"):
        fields.pop(name, None)
    # Small searches, and no options that cause endless repetitions or temperature fallback: a run would take hours.
    for name in ("beam_size", "best_of"):
        if isinstance(fields.get(name), int):
            fields[name] = min(fields[name], 2)
    # Also without options of an endless search, invalid languages, and parts beyond the end.
    for name in ("repetition_penalty", "compression_ratio_threshold", "logprob_threshold", "log_prob_threshold",
                 "logprob_thold", "suppress_tokens[]", "patience", "language", "languages[]", "offset", "duration"):
        fields.pop(name, None)


ANSWERS = collections.Counter()


@schemathesis.hook
def after_call(context, case, response):
    """Counts the answers, for the report."""
    ANSWERS[str(response.status_code)] += 1
    if response.status_code == 200 and "/audio/" in case.path:
        ANSWERS["200 to an upload"] += 1


@atexit.register
def report():
    pathlib.Path("answers.json").write_text(json.dumps(ANSWERS))
