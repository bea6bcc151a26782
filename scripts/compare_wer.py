#!/usr/bin/env python3
"""Compares the word error rates of a running HalkSpeech server and of faster-whisper, clip by clip.

usage: compare_wer.py --manifest DIR/manifest.jsonl --model-dir DIR/base [--url http://127.0.0.1:8000] [--beam 5]

Every system gets the same files with their language, and the same beam size:
  halkspeech, halkspeech-novad   the server, with and without voice activity detection
  seq, seq-vad                   faster-whisper's WhisperModel.transcribe, without and with vad_filter
  batch, batch-vad               its BatchedInferencePipeline; without VAD in clips of 30 s, which it then requires
The manifest has a line per clip: file, language, text, duration_s, kind. Needs `pip install faster-whisper`.
"""
import argparse
import os
import sys
import time
from collections import defaultdict

from clips import read_manifest
from servers import transcribe_file
from word_errors import edits, units

SYSTEMS = ["halkspeech", "halkspeech-novad", "seq", "seq-vad", "batch", "batch-vad"]


def systems(args, name):
    """A function (path, language, duration) -> text for each selected system."""
    import faster_whisper
    peer = faster_whisper.WhisperModel(args.model_dir, device="cpu", compute_type=args.compute_type,
                                       cpu_threads=args.threads)
    batched = faster_whisper.BatchedInferencePipeline(model=peer)
    extra = dict(field.split("=", 1) for field in args.field)

    def halkspeech(vad):
        return lambda path, language, _: transcribe_file(args.url, path, {
            "model": name, "language": language, "beam_size": args.beam, "vad_filter": str(vad).lower(), **extra})

    def sequential(vad):
        return lambda path, language, _: text_of(peer.transcribe(
            path, language=language, beam_size=args.beam, vad_filter=vad))

    def batch(vad):
        def run(path, language, duration):
            clips = None
            if not vad and duration > 29:
                # The manifest's durations are rounded, and the pipeline rejects clips beyond the end.
                end = duration - 0.1
                clips = [{"start": start, "end": min(start + 30, end)} for start in range(0, int(end), 30)]
            return text_of(batched.transcribe(path, language=language, beam_size=args.beam, vad_filter=vad,
                                              clip_timestamps=clips, batch_size=8))
        return run

    def text_of(result):
        return "".join(segment.text for segment in result[0]).strip()

    every = {"halkspeech": halkspeech(True), "halkspeech-novad": halkspeech(False),
             "seq": sequential(False), "seq-vad": sequential(True), "batch": batch(False), "batch-vad": batch(True)}
    return faster_whisper.__version__, peer.model.is_multilingual, {system: every[system] for system in args.systems}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--model-dir", required=True, help="the model's folder; its name is the server's model")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--kinds", default="short,telephone,long")
    parser.add_argument("--systems", default=",".join(SYSTEMS), type=lambda text: text.split(","))
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--field", action="append", default=[], metavar="NAME=VALUE",
                        help="an additional field for the server")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--verbose", action="store_true", help="print clips on which the systems differ")
    args = parser.parse_args()

    name = os.path.basename(os.path.normpath(args.model_dir))
    version, multilingual, run = systems(args, name)
    clips = [clip for clip in read_manifest(args.manifest) if clip.kind in args.kinds.split(",")]
    if not multilingual:
        clips = [clip for clip in clips if clip.language == "en"]

    rows = defaultdict(lambda: defaultdict(int))
    seconds = defaultdict(float)
    for clip in clips:
        reference = units(clip.text, clip.language)
        texts, wrong = {}, {}
        for system, transcribe in run.items():
            start = time.perf_counter()
            texts[system] = transcribe(clip.path, clip.language, clip.duration_s)
            seconds[system] += time.perf_counter() - start
            wrong[system] = edits(reference, units(texts[system], clip.language))
        group = f"{clip.language}, long" if clip.kind == "long" else clip.language
        for key in (group, "all"):
            rows[key]["clips"] += 1
            rows[key]["units"] += len(reference)
            for system in run:
                rows[key][system] += wrong[system]
        if args.verbose and len(set(wrong.values())) > 1:
            print(f"{clip.name}: {wrong} of {len(reference)}\n  ref {clip.text[:400]}", file=sys.stderr)
            for system in run:
                print(f"  {system} {texts[system][:400]}", file=sys.stderr)

    print(f"{name}, {args.compute_type}, beam {args.beam}, language set; faster-whisper {version}\n")
    print("| language | clips | words (ja, zh: characters) | " + " | ".join(run) + " |")
    print("|---|---|---|" + "---|" * len(run))
    for key in sorted(rows, key=lambda key: (key == "all", key)):
        row = rows[key]
        cells = [f"{row[system]} ({100 * row[system] / row['units']:.2f} %)" for system in run]
        print(f"| {key} | {row['clips']} | {row['units']} | " + " | ".join(cells) + " |")
    print("\nseconds, clips in sequence: " + ", ".join(f"{system} {seconds[system]:.0f}" for system in run))


if __name__ == "__main__":
    main()
