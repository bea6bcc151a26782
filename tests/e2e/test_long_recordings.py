"""A recording of many windows: times, subtitles, streams; and the times of words compared with faster-whisper's.

Subtitles are parsed by two packages. A minute of the sample is quick; the longest English recording is slow. With --url
a running server with the model base is used.
"""
import difflib
import io
import itertools
import json
import re
import statistics
import time

import pytest

import clips
import needs
import servers
import speech

MODEL, BEAM_SIZE = "base", 5
LIMITS = {"max_line_width": 42, "max_line_count": 2}
TOLERANCE_S = 0.01
# Median distance between the starts of words and those of faster-whisper.
MAX_MEDIAN_DISTANCE_S = 0.1


@pytest.fixture(scope="module")
def url(pytestconfig, request):
    """The address that --url names, else that of a server for the model base."""
    named = pytestconfig.getoption("--url")
    if named:
        return named.rstrip("/")
    start = request.getfixturevalue("module_server")
    return start("long", WHISPER__MODEL=MODEL, WHISPER__COMPUTE_TYPE="int8").url


@pytest.fixture(scope="module", params=["a_minute", pytest.param("the_longest", marks=pytest.mark.slow)])
def audio(request, tmp_path_factory):
    """The path of the recording, and the fields that it is sent with."""
    if request.param == "a_minute":
        path = tmp_path_factory.mktemp("long") / "minute.wav"
        path.write_bytes(speech.repeated(request.getfixturevalue("sample"), 6))
        # Repetitions may cause temperature fallback, after which the text is sampled.
        return path, {"temperature": "[0]"}
    return longest(request.getfixturevalue("recordings")), {}


def longest(recordings):
    """The path of the longest English recording."""
    every = clips.read_manifest(recordings / "manifest.jsonl")
    english = [clip for clip in every if clip.kind == "long" and clip.language == "en"]
    return max(english, key=lambda clip: clip.duration_s).path


@pytest.fixture(scope="module")
def verbose(url, audio):
    """The answer as verbose_json with words."""
    granularities = {"timestamp_granularities[]": ["word", "segment"]}
    with transcribe(url, audio, response_format="verbose_json", **granularities) as body:
        return json.load(body)


def transcribe(url, audio, **more):
    """Sends a recording with its fields and more; returns the open answer."""
    path, fields = audio
    return servers.post_file(url, path, {"model": MODEL, "language": "en", "beam_size": BEAM_SIZE} | fields | more)


def letters(text):
    """A text without spaces, punctuation and case."""
    return re.sub(r"[^\w]", "", text.lower())


def test_segments_are_in_order_within_the_audio_and_do_not_overlap(verbose):
    segments = verbose["segments"]
    assert len(segments) > 1
    assert all(one["end"] <= later["start"] + 1e-6 for one, later in itertools.pairwise(segments))
    assert all(0 <= one["start"] <= one["end"] <= verbose["duration"] + TOLERANCE_S for one in segments)


def test_words_are_in_order_within_the_audio_and_are_the_text(verbose):
    words = verbose["words"]
    assert all(one["start"] <= later["start"] for one, later in itertools.pairwise(words))
    assert all(0 <= one["start"] <= one["end"] <= verbose["duration"] + TOLERANCE_S for one in words)
    assert letters("".join(one["word"] for one in words)) == letters(verbose["text"])


def cues_of(response_format, text):
    """The texts of subtitles, parsed by another package."""
    if response_format == "srt":
        return [cue.content for cue in needs.module("srt").parse(text)]
    return [cue.text for cue in needs.module("webvtt").from_buffer(io.StringIO(text))]


@pytest.mark.parametrize("limits", [{}, LIMITS], ids=["free", "limited"])
@pytest.mark.parametrize("response_format", ["srt", "vtt"])
def test_subtitles_parse_and_hold_the_text(url, audio, verbose, response_format, limits):
    with transcribe(url, audio, response_format=response_format, **limits) as body:
        cues = cues_of(response_format, body.read().decode())
    assert letters("".join(cues)) == letters(verbose["text"])
    if limits:
        assert max(len(line) for cue in cues for line in cue.splitlines()) <= limits["max_line_width"]


def test_a_stream_begins_early_and_its_deltas_are_its_text(url, audio, verbose):
    start, first_s, deltas, done = time.perf_counter(), None, [], None
    with transcribe(url, audio, stream="true") as lines:
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            event = json.loads(line[5:])
            if event["type"] == "transcript.text.delta":
                first_s = first_s or time.perf_counter() - start
                deltas.append(event["delta"])
            elif event["type"] == "transcript.text.done":
                done = event["text"]
    total_s = time.perf_counter() - start
    assert "".join(deltas) == done
    print(f"{len(deltas)} deltas, the first one after {first_s:.2f} s of {total_s:.2f} s")
    if verbose["duration"] > 300:
        assert first_s < total_s / 10


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_words_begin_where_faster_whisper_has_them(url, recordings, models_dir):
    """Compares the words that both transcribed in the longest English recording."""
    faster_whisper = needs.module("faster_whisper", requirements="requirements-slow.txt")
    audio = longest(recordings)
    with transcribe(url, (audio, {}), response_format="verbose_json", **{"timestamp_granularities[]": "word"}) as body:
        server_words = json.load(body)["words"]
    peer = faster_whisper.WhisperModel(str(models_dir / MODEL), device="cpu", compute_type="int8", cpu_threads=2)
    segments, _ = peer.transcribe(audio, language="en", beam_size=BEAM_SIZE, word_timestamps=True)
    reference_words = [word for segment in segments for word in segment.words]
    matcher = difflib.SequenceMatcher(None, [letters(word["word"]) for word in server_words],
                                      [letters(word.word) for word in reference_words], False)
    distances_s = [abs(server_words[block.a + i]["start"] - reference_words[block.b + i].start)
                   for block in matcher.get_matching_blocks() for i in range(block.size)]
    print(f"{len(distances_s)} words in common, starts {statistics.median(distances_s):.3f} s apart in the median, "
          f"{statistics.mean(distances_s):.3f} s on average")
    assert statistics.median(distances_s) <= MAX_MEDIAN_DISTANCE_S
