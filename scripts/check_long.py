#!/usr/bin/env python3
"""Checks a long recording on a running HalkSpeech server: times, subtitles, streaming; words beside faster-whisper's.

usage: check_long.py --audio FILE --model-dir DIR/base [--url http://127.0.0.1:8000] [--language en] [--beam 5]

Needs `pip install faster-whisper srt webvtt-py`; subtitles are read by those two parsers, not by ours.
"""
import argparse
import difflib
import io
import json
import os
import re
import statistics
import time

from servers import ask


def plain(word):
    return re.sub(r"[^\w]", "", word.lower())


def check(name, holds, seen=""):
    print(f"{'ok  ' if holds else 'FAIL'} {name}{': ' if seen else ''}{seen}")
    return holds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", required=True)
    parser.add_argument("--model-dir", required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--language", default="en")
    parser.add_argument("--beam", type=int, default=5)
    args = parser.parse_args()
    import faster_whisper
    import srt
    import webvtt
    fields = {"model": os.path.basename(os.path.normpath(args.model_dir)), "language": args.language,
              "beam_size": args.beam}
    good = []

    start = time.perf_counter()
    verbose = json.load(ask(args.url, args.audio, {
        **fields, "response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}))
    print(f"verbose_json with words: {time.perf_counter() - start:.1f} s for {verbose['duration']:.1f} s of audio")
    segments, words = verbose["segments"], verbose["words"]
    good.append(check("segments in order, no overlap", all(
        a["end"] <= b["start"] + 1e-6 for a, b in zip(segments, segments[1:])), f"{len(segments)} segments"))
    good.append(check("segments within the audio", all(
        0 <= s["start"] <= s["end"] <= verbose["duration"] + 0.01 for s in segments)))
    good.append(check("words in order, within the audio", all(
        a["start"] <= b["start"] for a, b in zip(words, words[1:])) and all(
        0 <= w["start"] <= w["end"] <= verbose["duration"] + 0.01 for w in words), f"{len(words)} words"))
    good.append(check("the words are the text", plain("".join(w["word"] for w in words)) == plain(verbose["text"])))

    for form, parse in (("srt", lambda text: [cue.content for cue in srt.parse(text)]),
                        ("vtt", lambda text: [cue.text for cue in webvtt.from_buffer(io.StringIO(text))])):
        for shape in ({}, {"max_line_width": 42, "max_line_count": 2}):
            text = ask(args.url, args.audio, {**fields, "response_format": form, **shape}).read().decode()
            cues = parse(text)
            longest = max(len(line) for cue in cues for line in cue.splitlines())
            whole = plain("".join(cues)) == plain(verbose["text"])
            good.append(check(f"{form} {shape or ''} parses and holds the text", whole and (
                not shape or longest <= 42), f"{len(cues)} cues, longest line {longest}"))

    start, first, deltas, done = time.perf_counter(), None, [], None
    for line in ask(args.url, args.audio, {**fields, "stream": "true"}):
        if line.startswith(b"data:"):
            event = json.loads(line[5:])
            if event["type"] == "transcript.text.delta":
                first = first or time.perf_counter() - start
                deltas.append(event["delta"])
            elif event["type"] == "transcript.text.done":
                done = event["text"]
    total = time.perf_counter() - start
    good.append(check("deltas join to the final text", "".join(deltas) == done, f"{len(deltas)} deltas"))
    good.append(check("the first delta comes in a tenth of the time", first < total / 10,
                      f"{first:.2f} s of {total:.2f} s"))

    peer = faster_whisper.WhisperModel(args.model_dir, device="cpu", compute_type="int8", cpu_threads=2)
    start = time.perf_counter()
    theirs = [word for segment in peer.transcribe(args.audio, language=args.language, beam_size=args.beam,
                                                  word_timestamps=True)[0] for word in segment.words]
    print(f"faster-whisper with words: {time.perf_counter() - start:.1f} s, {len(theirs)} words")
    matcher = difflib.SequenceMatcher(None, [plain(w["word"]) for w in words], [plain(w.word) for w in theirs], False)
    apart = [abs(words[m.a + i]["start"] - theirs[m.b + i].start) for m in matcher.get_matching_blocks()
             for i in range(m.size)]
    good.append(check("starts of words within 0.1 s (median) of faster-whisper's",
                      statistics.median(apart) <= 0.1,
                      f"median {statistics.median(apart):.3f} s, mean {statistics.mean(apart):.3f} s, "
                      f"{len(apart)} words in common"))
    raise SystemExit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
