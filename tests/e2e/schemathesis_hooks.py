"""What Schemathesis cannot make up for test_openapi.py: recordings, and the name of a model that is there.

Schemathesis loads this file by SCHEMATHESIS_HOOKS; SAMPLE is a recording. Without it every upload would be refused for
its bytes or its model, and the rest of the way would not be seen.
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


def beginning(seconds):
    """So much of the sample, as a WAV file."""
    path = pathlib.Path("beginning.wav").absolute()
    with wave.open(os.environ["SAMPLE"]) as whole, wave.open(str(path), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(int(seconds * whole.getframerate())))
    return path.read_bytes()


SPEECH = beginning(1)
RECORDINGS = strategies.one_of(
    strategies.sampled_from([SPEECH, SPEECH, SPEECH, SPEECH[:50], SPEECH[:3_001]]),
    strategies.binary(max_size=1_000),
)
schemathesis.openapi.format("binary", RECORDINGS)
schemathesis.openapi.media_type("application/octet-stream", RECORDINGS)


@schemathesis.hook
def before_call(context, case, kwargs):
    """An upload needs a model that is there, in its form or beside a bare body; one that is to be sound needs fields
    that go together, which no schema says (docs/api.md)."""
    if "/audio/" not in case.path:
        return
    is_form = isinstance(case.body, dict)
    fields = case.body if is_form else case.query
    given = fields.get("model", "")
    if isinstance(given, str):
        fields["model"] = MODELS[len(given) % len(MODELS)]
    if case.meta and case.meta.generation.mode.is_positive:
        reconcile(fields)
        if is_form:
            # A field in both places would have to go together with both.
            case.query.clear()


def reconcile(fields):
    """Drops what does not go together with the form of the answer, or with other fields."""
    form, split = fields.get("response_format", "json"), fields.get("channels") == "split"
    if form == "diarized_json":
        fields["channels"], split = "split", True
    allowed = {"word_timestamps": ["verbose_json"], "timestamp_granularities[]": ["verbose_json"], "include[]": [],
               "max_line_width": ["srt", "vtt"], "max_line_count": ["srt", "vtt"],
               "stream": [] if split else ["json", "text", "verbose_json"]}
    for name, forms in allowed.items():
        if form not in forms:
            fields.pop(name, None)
    # Small searches, and nothing that makes a text repeat itself to the end again and again: a run would take hours.
    for name in ("beam_size", "best_of"):
        if isinstance(fields.get(name), int):
            fields[name] = min(fields[name], 2)
    # Beside those, a search that never ends, a language that is none, and a part beyond the end.
    for name in ("repetition_penalty", "compression_ratio_threshold", "logprob_threshold", "log_prob_threshold",
                 "logprob_thold", "suppress_tokens[]", "patience", "language", "languages[]", "offset", "duration"):
        fields.pop(name, None)


ANSWERS = collections.Counter()


@schemathesis.hook
def after_call(context, case, response):
    """Counts what is answered, for the report."""
    ANSWERS[str(response.status_code)] += 1
    if response.status_code == 200 and "/audio/" in case.path:
        ANSWERS["200 to an upload"] += 1


@atexit.register
def report():
    pathlib.Path("answers.json").write_text(json.dumps(ANSWERS))
