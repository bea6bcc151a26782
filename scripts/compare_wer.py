#!/usr/bin/env python3
"""Word error rate of a running HalkSpeech server beside faster-whisper, clip by clip, one run.

usage: compare_wer.py --manifest DIR/manifest.jsonl --model-dir DIR/base [--url http://127.0.0.1:8000]

Both get the same files with their language, without voice activity detection. The server's beam is set where it
is started, WHISPER__BEAM_SIZE, and must be the one given here. The manifest has a line a clip: file, language,
text, duration_s, kind. Needs `pip install faster-whisper`.
"""
import argparse
import json
import os
import re
import sys
import time
import unicodedata
import urllib.parse
import urllib.request
from collections import defaultdict

# Written without spaces: characters are counted, not words.
UNSPACED = {"ja", "zh"}


def units(text, language):
    """Words as compared: NFKC, lower case, punctuation to spaces, apostrophes dropped."""
    text = unicodedata.normalize("NFKC", text)
    if language == "tr":
        text = text.replace("İ", "i").replace("I", "ı")
    text = re.sub(r"[’']", "", text.lower())
    text = re.sub(r"[^\w\s]|_", " ", text)
    return list("".join(text.split())) if language in UNSPACED else text.split()


def edits(reference, heard):
    """Levenshtein distance between two lists."""
    row = list(range(len(heard) + 1))
    for i, expected in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, actual in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (expected != actual))
    return row[-1]


def ask_server(url, model, path, language):
    query = urllib.parse.urlencode({"model": model, "language": language, "temperature": 0})
    with open(path, "rb") as file:
        request = urllib.request.Request(f"{url}/v1/audio/transcriptions?{query}", file.read(),
                                         {"Content-Type": "application/octet-stream"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)["text"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--model-dir", required=True, help="the model's folder; its name is the server's model")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--kinds", default="short,telephone")
    parser.add_argument("--beam", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compute-type", default="int8")
    parser.add_argument("--verbose", action="store_true", help="print clips on which the two differ")
    args = parser.parse_args()

    import faster_whisper
    peer = faster_whisper.WhisperModel(args.model_dir, device="cpu", compute_type=args.compute_type,
                                       cpu_threads=args.threads)
    name = os.path.basename(os.path.normpath(args.model_dir))
    folder = os.path.dirname(args.manifest)
    with open(args.manifest, encoding="utf-8") as lines:
        clips = [json.loads(line) for line in lines]
    clips = [clip for clip in clips if clip["kind"] in args.kinds.split(",") and clip["text"]]
    if not peer.model.is_multilingual:
        clips = [clip for clip in clips if clip["language"] == "en"]

    counts = defaultdict(lambda: {"clips": 0, "units": 0, "ours": 0, "peer": 0})
    seconds = {"ours": 0.0, "peer": 0.0}
    for clip in clips:
        path, language = os.path.join(folder, clip["file"]), clip["language"]
        start = time.perf_counter()
        ours = ask_server(args.url, name, path, language)
        middle = time.perf_counter()
        segments, _ = peer.transcribe(path, language=language, beam_size=args.beam, vad_filter=False)
        theirs = "".join(segment.text for segment in segments).strip()
        seconds["ours"] += middle - start
        seconds["peer"] += time.perf_counter() - middle
        reference = units(clip["text"], language)
        wrong = {"ours": edits(reference, units(ours, language)), "peer": edits(reference, units(theirs, language))}
        for key in (language, "all"):
            counts[key]["clips"] += 1
            counts[key]["units"] += len(reference)
            counts[key]["ours"] += wrong["ours"]
            counts[key]["peer"] += wrong["peer"]
        if args.verbose and wrong["ours"] != wrong["peer"]:
            print(f"{clip['file']}: ours {wrong['ours']}, peer {wrong['peer']} of {len(reference)}\n"
                  f"  ref  {clip['text']}\n  ours {ours}\n  peer {theirs}", file=sys.stderr)

    print(f"{name}, {args.compute_type}, beam {args.beam}, language given, no VAD; faster-whisper {faster_whisper.__version__}\n")
    print("| language | clips | words (ja, zh: characters) | HalkSpeech | faster-whisper |\n|---|---|---|---|---|")
    for key in sorted(counts, key=lambda key: (key == "all", key)):
        row = counts[key]
        share = {side: 100 * row[side] / row["units"] for side in ("ours", "peer")}
        print(f"| {key} | {row['clips']} | {row['units']} | {share['ours']:.2f} % | {share['peer']:.2f} % |")
    print(f"\nseconds, clips one by one: HalkSpeech {seconds['ours']:.0f}, faster-whisper {seconds['peer']:.0f}")


if __name__ == "__main__":
    main()
