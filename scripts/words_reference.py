"""Writes crates/whisper/fixtures/words_reference.json: segments and words of faster-whisper.

    pip install faster-whisper && python scripts/words_reference.py --audio DIR [--keep] [--model DIR]

Three kinds of cases: token sequences cut at their time stamps; clips with the model's tokens, the time
of each token, and faster-whisper's words for them; and the same for synthetic speech, whose pauses
and time stamps test every rule. The recordings themselves are not part of the project; only values
computed from them are stored.

One rule of faster-whisper is changed before it runs: it splits words at apostrophes ("l", "'eau"),
HalkSpeech does not. Everything after that, times included, is computed by faster-whisper.
"""

import argparse
import json
import random
from pathlib import Path
from types import CellType, FunctionType, SimpleNamespace

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel, decode_audio, transcribe
from faster_whisper.audio import pad_or_trim
from faster_whisper.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
RATE_HZ = 16_000
PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"

# Clip, language, start and maximum length in seconds, end of the last word before it.
CLIPS = (
    ("en_jfk.wav", "en", 0, 30, 0.0),
    ("long_en_lj003_13min.mp3", "en", 60, 30, -5.0),
    ("long_en_sonnet1_53s.mp3", "en", 0, 30, 0.0),
    ("multi_two_speakers_20s.wav", "en", 0, 30, 0.0),
    ("edge/jfk_after_20s_silence.wav", "en", 0, 30, 0.0),
    ("edge/music_hold_40s_8k.wav", "en", 0, 30, 0.0),
    ("edge/noise_white_10s.wav", "en", 0, 30, -20.0),
    ("tr_ivr8k_maintenance.wav", "tr", 0, 30, 0.0),
    ("tr_ivr8k_technical_difficulty.wav", "tr", 0, 30, -3.5),
    ("tr_gcompris_words.ogg", "tr", 0, 30, 0.0),
    ("ja_picovoice.wav", "ja", 0, 30, 0.0),
    ("zh_f5_24k.wav", "zh", 0, 30, 0.0),
    ("es_fleurs_000.ogg", "es", 0, 30, 0.0),
    ("fr_fleurs_001.ogg", "fr", 0, 30, 0.0),
    ("ko_picovoice.wav", "ko", 0, 30, 0.0),
    ("hi_audioeval_f32.wav", "hi", 0, 30, 0.0),
)
SENTENCES = (
    ("en", (" Well, yes!", " No. It's (a) fine day.", " So?")),
    ("tr", (" Evet.", " Bugün hava çok güzel!", " Değil mi?")),
    ("ja", ("はい。そうです。", "いいえ、違う！")),
)
# Each of these seeds tests a rule that the others do not.
SYNTHETIC_SEEDS = (0, 1, 2, 4, 8, 12, 17, 28, 47, 112)
WITH_PATH = {"en_jfk.wav", "tr_ivr8k_maintenance.wav"}


class WholeWordsTokenizer(Tokenizer):
    """faster-whisper's tokenizer, whose words do not end at an apostrophe between letters."""

    def split_tokens_on_spaces(self, tokens):
        words, word_tokens = [], []
        for word, current_tokens in zip(*super().split_tokens_on_spaces(tokens)):
            before = words[-1] if words else ""
            if word[:1] == "'" and word[1:2].isalpha() and before[-1:].isalnum():
                words[-1] += word
                word_tokens[-1] += current_tokens
            else:
                words.append(word)
                word_tokens.append(current_tokens)
        return words, word_tokens


def fixed_sequences(begin):
    """Token sequences with time stamps in all possible positions."""
    timestamp = lambda seconds: begin + round(seconds * 50)
    a, b, c = [1396, 264], [12471, 13], [50, 51]
    return (
        (30.0, [timestamp(0), *a, timestamp(2), timestamp(2), *b, timestamp(4)]),
        (30.0, [timestamp(0), *a, timestamp(2), timestamp(2), *b, timestamp(4), timestamp(4)]),
        (30.0, [timestamp(0), *a, timestamp(2), timestamp(2.4), *b, timestamp(4), timestamp(5), *c]),
        (30.0, [timestamp(0), *a, timestamp(2), timestamp(2), *b]),
        (12.5, [timestamp(1), *a, timestamp(5.2)]),
        (12.5, [timestamp(0), *a]),
        (12.5, [*a]),
        (12.5, [*a, timestamp(3), *b]),
        (12.5, [timestamp(0), timestamp(0)]),
        (12.5, [timestamp(0.5)]),
        (12.5, []),
        (30.0, [timestamp(1), timestamp(1), *a, timestamp(3), timestamp(3), timestamp(3), *b, timestamp(6)]),
        (30.0, [timestamp(0), *a, timestamp(30)]),
    )


def random_tokens(begin, seed):
    """A possible token sequence of a model: pairs of time stamps that never decrease."""
    rng, now, tokens = random.Random(seed), 0, []
    for _ in range(rng.randint(1, 5)):
        now = min(now + rng.randint(0, 100), 1500)
        tokens += [begin + now, *(rng.randrange(50_000) for _ in range(rng.randint(1, 4)))]
        if rng.random() < 0.8:
            now = min(now + rng.randint(0, 300), 1500)
            tokens += [begin + now] * rng.choice((1, 1, 2))
    return 30.0, tokens


def cut(model, tokenizer, tokens, duration):
    frames = round(duration * model.frames_per_second)
    return model._split_segments_by_timestamps(tokenizer, tokens, 0.0, frames, duration, 0)


def cut_case(model, tokenizer, duration, tokens):
    segments, seek, _ = cut(model, tokenizer, tokens, duration)
    heard_until = None if seek == round(duration * model.frames_per_second) else seek / 100
    return {
        "duration": duration,
        "tokens": tokens,
        "segments": [[round(s["start"], 2), round(s["end"], 2), len(s["tokens"])] for s in segments],
        "heard_until": heard_until,
    }


def is_segment_anomaly():
    """The function of that name inside faster-whisper's `generate_segments`."""
    consts = WhisperModel.generate_segments.__code__.co_consts
    code = {c.co_name: c for c in consts if hasattr(c, "co_name")}
    names = vars(transcribe)
    score = FunctionType(code["word_anomaly_score"], names)
    variables = {"punctuation": PREPENDED + APPENDED, "word_anomaly_score": score}
    code = code["is_segment_anomaly"]
    return FunctionType(code, names, closure=tuple(CellType(variables[n]) for n in code.co_freevars))


def segments_json(segments, is_improbable):
    """Segments after `add_word_timestamps`, as JSON."""
    word = lambda w: [
        w["word"], round(w["start"], 3), round(w["end"], 3), round(float(w["probability"]), 4)
    ]
    return [
        {
            "start": round(s["start"], 3),
            "end": round(s["end"], 3),
            "improbable": bool(is_improbable(s)),
            "words": [word(w) for w in s["words"]],
        }
        for s in segments
    ]


def compute_words(model, tokenizer, is_improbable, case):
    """The words of a case with known tokens, starts and probabilities, without a model."""
    probabilities, path = case["probabilities"], list(enumerate(case["starts"]))
    align = lambda *_, **__: [SimpleNamespace(text_token_probs=probabilities, alignments=path)]
    reference = object.__new__(WhisperModel)
    vars(reference).update(vars(model), model=SimpleNamespace(align=align))
    segments, _, _ = cut(model, tokenizer, case["tokens"], case["duration"])
    frames = round(case["duration"] * model.frames_per_second)
    reference.add_word_timestamps(
        [segments], tokenizer, None, frames, PREPENDED, APPENDED, case["last_speech"]
    )
    return segments_json(segments, is_improbable)


def synthetic_case(model, is_improbable, number, language, sentences):
    """Sentences spoken with long pauses, and time stamps that are off by up to two seconds."""
    rng = random.Random(number)
    tokenizer = WholeWordsTokenizer(model.hf_tokenizer, True, task="transcribe", language=language)
    now, tokens, starts, stamp = 0, [], [], 0
    off = lambda: rng.choice((0, 0, 5, 40, 100)) * rng.choice((-1, 1))
    pause = lambda likely: rng.randint(40, 200) if rng.random() < likely else 0
    for sentence in sentences:
        now += pause(0.5)
        stamp = min(max(now + off(), stamp), 1500)
        tokens.append(tokenizer.timestamp_begin + stamp)
        for token in tokenizer.encode(sentence):
            tokens.append(token)
            starts.append(now)
            now += rng.choice((0, 4, 8, 12, 16, 20)) + pause(0.1)
        stamp = min(max(now + off(), stamp), 1500)
        tokens.append(tokenizer.timestamp_begin + stamp)
    starts.append(now)
    assert now <= 1500, now
    probabilities = [round(rng.random(), 2) for _ in starts[1:]]

    last_speech = -float(rng.choice((0, 0, 3)))
    case = {"duration": 30.0, "tokens": tokens, "starts": starts, "probabilities": probabilities}
    case["last_speech"] = last_speech
    return cut_case(model, tokenizer, 30.0, tokens) | {
        "clip": f"made up {number}",
        "language": language,
        "last_speech": last_speech,
        "starts": starts,
        "probabilities": probabilities,
        "words": compute_words(model, tokenizer, is_improbable, case),
    }


def clip_case(model, folder, is_improbable, clip):
    name, language, begin, length, last_speech = clip
    pcm = decode_audio(str(folder / name))[begin * RATE_HZ : (begin + length) * RATE_HZ]
    features = model.feature_extractor(pcm)[:, :3000]
    frames = min(len(pcm) // 160, 3000)
    encoded = model.encode(pad_or_trim(features[:, :frames]))
    tokenizer = WholeWordsTokenizer(model.hf_tokenizer, True, task="transcribe", language=language)
    prompt = model.get_prompt(tokenizer, [])
    tokens = model.model.generate(encoded, [prompt], beam_size=5)[0].sequences_ids[0]

    segments, _, _ = cut(model, tokenizer, tokens, frames / 100)
    case = cut_case(model, tokenizer, frames / 100, tokens)
    text = [t for s in segments for t in s["tokens"] if t < tokenizer.eot]
    aligned = model.model.align(
        encoded, tokenizer.sot_sequence, [text], frames, median_filter_width=7
    )[0]
    pairs = np.array(aligned.alignments)
    jumps = np.pad(np.diff(pairs[:, 0]), (1, 0), constant_values=1).astype(bool)
    model.add_word_timestamps(
        [segments], tokenizer, encoded, frames, PREPENDED, APPENDED, last_speech
    )
    case |= {
        "clip": name,
        "language": language,
        "last_speech": last_speech,
        "starts": [int(frame) for frame in pairs[jumps, 1]],
        "probabilities": [round(p, 4) for p in aligned.text_token_probs],
        "words": segments_json(segments, is_improbable),
    }
    if name in WITH_PATH:
        case["path"] = [[int(token), int(frame)] for token, frame in pairs]
    return case


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--audio", type=Path, required=True, help="the folder of the recordings")
    models = Path.home() / ".cache/halkspeech/models"
    parser.add_argument("--model", type=Path, default=models / "base")
    parser.add_argument(
        "--keep", action="store_true", help="keep the model's tokens; compute only the words again"
    )
    arguments = parser.parse_args()
    ctranslate2.set_random_seed(1)
    model = WhisperModel(str(arguments.model), device="cpu", compute_type="int8", cpu_threads=1)
    tokenizer = WholeWordsTokenizer(model.hf_tokenizer, True, task="transcribe", language="en")
    begin = tokenizer.timestamp_begin
    sequences = [*fixed_sequences(begin), *(random_tokens(begin, seed) for seed in range(20))]
    cuts = [cut_case(model, tokenizer, *sequence) for sequence in sequences]
    anomaly = is_segment_anomaly()
    target = ROOT / "crates/whisper/fixtures/words_reference.json"
    if arguments.keep:
        # Tokens and probabilities differ between processors; the words computed from them do not.
        clips = json.loads(target.read_text(encoding="utf-8"))["clips"][: len(CLIPS)]
        for clip in clips:
            tokenizer = WholeWordsTokenizer(
                model.hf_tokenizer, True, task="transcribe", language=clip["language"]
            )
            clip["words"] = compute_words(model, tokenizer, anomaly, clip)
    else:
        clips = [clip_case(model, arguments.audio, anomaly, clip) for clip in CLIPS]
    made_up = ((number, *SENTENCES[number % len(SENTENCES)]) for number in SYNTHETIC_SEEDS)
    clips += [synthetic_case(model, anomaly, *case) for case in made_up]

    lines = lambda cases: ",\n".join(
        json.dumps(c, separators=(",", ":"), ensure_ascii=False) for c in cases
    )
    target.write_text(
        f'{{"cuts":[\n{lines(cuts)}\n],"clips":[\n{lines(clips)}\n]}}\n', encoding="utf-8"
    )
    print(f"{target}: {len(cuts)} cuts, {len(clips)} clips, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
