#!/usr/bin/env python3
"""Transcribes isolated words and short phrases of 0.3 to 2.5 s with several settings, and compares with 30 s encoded.

usage: isolated_words.py --audio DIR --work DIR [--binary PATH --models DIR] [--model base] [--model tiny.en]
                         [--setting NAME=VALUE[,NAME=VALUE]]... [--beam 5,1] [--format json,verbose_json] [--callers N]

Cuts the clips of isolated_words.json (file, language, start and end in seconds, text) out of the recordings in --audio
into --work, with a manifest as compare_wer.py reads it; without --binary nothing else. Clips were cut in silences if
there are any, otherwise at the quietest moment about 0.05 s outside the times of `words`; there a word may begin or end
abruptly, and some are hard to recognise for any model. Then a server is started for each model and setting,
`WHISPER__LENGTH_AWARE=false` (30 s encoded) first, and each clip is sent to it alone, with its language; models whose
name ends in ".en" get the English clips. --setting may be repeated; a name without "__" gets the prefix WHISPER__, and
"default" is a server without settings.

Columns: clips; doubled, whose text is one word or phrase twice or more ("X X", "X and X"); empty, if 30 s has a text;
wrong words compared with the reference, and with the text of 30 s; maximum tokens of a clip, and clips with more than
twice the tokens of 30 s; windows generated again; seconds of the engine; total seconds; the slowest clip. With
--answers every answer is written, as a line of JSON each. Needs ffmpeg.
"""
import argparse
import itertools
import json
import os
import subprocess
import sys
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import servers
from clips import SAMPLE_RATE_HZ, read_manifest
from word_errors import edits, units

CUTS = os.path.splitext(os.path.abspath(__file__))[0] + ".json"
WHOLE = "LENGTH_AWARE=false"
COLUMNS = ("model", "format", "beam", "language", "setting", "clips", "doubled", "empty", "wrong words",
           "words unlike 30 s", "max tokens", "over twice the tokens", "regenerated", "engine s", "seconds",
           "slowest s")


@dataclass
class Answer:
    """The transcript of a clip. `tokens` is None until counted."""
    text: str
    seconds: float
    tokens: int | None = None


def cut_all(audio, work):
    """Writes the clips and their manifest; returns the manifest's path."""
    with open(CUTS, encoding="utf-8") as file:
        cuts = json.load(file)
    os.makedirs(work, exist_ok=True)
    decoded, entries, counts = {}, [], {}
    for cut in cuts:
        if cut["file"] not in decoded:
            decoded[cut["file"]] = decode(os.path.join(audio, cut["file"]))
        counts[cut["language"]] = number = counts.get(cut["language"], 0) + 1
        begin, end = (2 * round(cut[edge] * SAMPLE_RATE_HZ) for edge in ("start", "end"))
        samples = decoded[cut["file"]][begin:end]
        assert len(samples) == end - begin, f"{cut['file']} ends before {cut['end']} s"
        name = f"{cut['language']}_{number:02}.wav"
        with wave.open(os.path.join(work, name), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE_HZ, 0, "NONE", ""))
            file.writeframes(samples)
        entries.append({"file": name, "language": cut["language"], "text": cut["text"],
                        "duration_s": round(cut["end"] - cut["start"], 2), "kind": "isolated"})
    manifest = os.path.join(work, "manifest.jsonl")
    with open(manifest, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    return manifest


def decode(path):
    """A recording as 16-bit samples of one channel."""
    command = ["ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", str(SAMPLE_RATE_HZ), "-f", "s16le", "-"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def environment(setting):
    """The variables of `NAME=VALUE,NAME=VALUE`."""
    pairs = [pair.split("=", 1) for pair in setting.split(",")] if setting != "default" else []
    return {name if "__" in name else f"WHISPER__{name}": value for name, value in pairs}


def transcribe(url, clip, fields):
    """Returns a clip's text, its time and, if the format has them, its tokens."""
    start = time.perf_counter()
    with servers.post_file(url, clip.path, fields | {"language": clip.language}) as response:
        body = json.load(response)
    seconds = time.perf_counter() - start
    tokens = sum(len(segment["tokens"]) for segment in body["segments"]) if "segments" in body else None
    return Answer(body["text"].strip(), seconds, tokens)


def count_tokens(url, clip, fields):
    """Counts the tokens of a clip's text in a separate request, since log probabilities cost the time of an alignment.
    A text that was sampled at a temperature above 0 differs between the two requests."""
    fields = fields | {"language": clip.language, "include[]": "logprobs"}
    with servers.post_file(url, clip.path, fields) as response:
        return len(json.load(response)["logprobs"])


def run(url, clips, fields, whole, callers):
    """Returns the answers to clips of one language, and the server's metrics during them."""
    def token_count(index):
        clip, answer = clips[index], answers[index]
        if answer.tokens is not None:
            return answer.tokens
        if whole and whole[index].text == answer.text:
            return whole[index].tokens
        return count_tokens(url, clip, fields)

    with ThreadPoolExecutor(callers) as pool:
        before = servers.metrics(url)
        answers = list(pool.map(lambda clip: transcribe(url, clip, fields), clips))
        figures = servers.engine_figures(servers.metrics_increase(before, servers.metrics(url)))
        for answer, tokens in zip(answers, list(pool.map(token_count, range(len(clips))))):
            answer.tokens = tokens
    return answers, figures


def is_repeated(text, language):
    """Whether a text is one word or phrase at least twice, or twice with one word between ("X and X")."""
    words = units(text, language)
    lengths = range(1, len(words) // 2 + 1)
    return any(words[:length] * (len(words) // length) == words or
               (len(words) == 2 * length + 1 and words[:length] == words[-length:]) for length in lengths)


def row(clips, answers, whole, figures):
    """The figures of clips, in the order of COLUMNS."""
    every = list(zip(clips, answers, whole))
    distance = lambda reference, clip, answer: edits(units(reference, clip.language), units(answer.text, clip.language))
    return {
        "clips": len(clips),
        "doubled": sum(is_repeated(answer.text, clip.language) for clip, answer, _ in every),
        "empty": sum(not answer.text and bool(reference.text) for _, answer, reference in every),
        "wrong words": sum(distance(clip.text, clip, answer) for clip, answer, _ in every),
        "words unlike 30 s": sum(distance(reference.text, clip, answer) for clip, answer, reference in every),
        "max tokens": max(answer.tokens for answer in answers),
        "over twice the tokens": sum(answer.tokens > 2 * reference.tokens > 0 for _, answer, reference in every),
        "regenerated": figures["windows_repeated"],
        "engine s": figures["engine_s"],
        "seconds": sum(answer.seconds for answer in answers),
        "slowest s": max(answer.seconds for answer in answers),
    }


def totals(rows):
    """The figures of all languages from those of each."""
    maxima = ("max tokens", "slowest s")
    return {name: (max if name in maxima else sum)(row[name] for row in rows) for name in rows[0]}


def show(cells):
    print("| " + " | ".join(f"{cell:.2f}" if isinstance(cell, float) and not cell.is_integer() else
                            str(int(cell) if isinstance(cell, float) else cell) for cell in cells) + " |", flush=True)


def measure(args, model, setting, clips, whole, write_answer):
    """Prints the rows of a model and a setting. `whole` holds the answers of 30 s, which the first setting adds."""
    languages = sorted({clip.language for clip in clips})
    settings = {"WHISPER__MODEL": model} | environment(setting)
    with servers.halkspeech(args.binary, args.models, **settings) as url:
        transcribe(url, clips[0], {"model": model})
        for response_format, beam in itertools.product(args.format, args.beam):
            fields = {"model": model, "beam_size": beam, "response_format": response_format}
            rows = []
            for language in languages:
                language_clips = [clip for clip in clips if clip.language == language]
                known = whole.get((response_format, beam, language))
                answers, figures = run(url, language_clips, fields, known, args.callers)
                known = whole.setdefault((response_format, beam, language), answers)
                rows.append(row(language_clips, answers, known, figures))
                show([model, response_format, beam, language, setting, *rows[-1].values()])
                for clip, answer, reference in zip(language_clips, answers, known):
                    write_answer({"setting": setting, **fields, "clip": clip.name, "duration_s": clip.duration_s,
                                  "expected": clip.text, "text": answer.text, "text_30s": reference.text,
                                  "tokens": answer.tokens, "tokens_30s": reference.tokens,
                                  "seconds": round(answer.seconds, 3), "doubled": is_repeated(answer.text, language)})
            if len(rows) > 1:
                show([model, response_format, beam, "all", setting, *totals(rows).values()])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", required=True, help="the folder of the recordings")
    parser.add_argument("--work", required=True, help="a folder for the clips")
    parser.add_argument("--binary")
    parser.add_argument("--models")
    parser.add_argument("--model", action="append")
    parser.add_argument("--setting", action="append", default=[])
    parser.add_argument("--beam", default="5,1", type=lambda text: text.split(","))
    parser.add_argument("--format", default="json,verbose_json", type=lambda text: text.split(","))
    parser.add_argument("--answers", metavar="FILE")
    parser.add_argument("--callers", type=int, default=1, help="concurrent requests")
    args = parser.parse_args()

    manifest = cut_all(args.audio, args.work)
    every = read_manifest(manifest)
    print(f"{len(every)} clips in {manifest}", file=sys.stderr)
    if not args.binary:
        return
    servers.end_on_sigterm()
    with open(args.answers or os.devnull, "w", encoding="utf-8") as file:
        write_answer = lambda answer: print(json.dumps(answer, ensure_ascii=False), file=file, flush=True)
        show(COLUMNS)
        print("|" + "---|" * len(COLUMNS))
        for model in args.model or ["base"]:
            clips = [clip for clip in every if clip.language == "en" or not model.endswith(".en")]
            whole = {}
            for setting in [WHOLE, *args.setting]:
                measure(args, model, setting, clips, whole, write_answer)


if __name__ == "__main__":
    main()
