"""Chooses and makes the audio of a soak: clips with a stable text, a long recording, invalid files."""
import os
import random
import wave

import load
import speech
from clips import Clip, read_manifest, short_clips
from soak import traffic
from soak.results import SoakResults
from word_errors import edits, units

MAX_WORD_ERROR_RATE = 0.5  # of a clip: the errors of a small model are no reason to fail


async def prepare_payloads(target, plan, folder):
    """Returns clips with a text that is stable and close to the reference, and all other files."""
    every = read_manifest(plan.manifest) if plan.manifest else [sample_clip(plan.sample)]
    short = short_clips(every)
    english = [clip for clip in short if clip.language == "en"]
    others = [clip for clip in short if clip.language in ("tr", "de", "fr")]
    rng = random.Random(plan.seed)
    chosen = {model: rng.sample(english, min(4, len(english))) for model in target.models}
    chosen[target.models[0]] = (rng.sample(english, min(3, len(english)))
                                + rng.sample(others, min(3, len(others))))
    async with load.session() as client:
        caller = traffic.Caller(target, None, client, SoakResults(), rng)
        clips = {model: [clip for clip in chosen[model] if await has_stable_text(caller, model, clip)]
                 for model in chosen}
        # Without other traffic, each clip must have its text.
        empty = [model for model, stable in clips.items() if not stable]
        assert not empty, f"no clip has a stable text close to its reference with {', '.join(empty)}"
    source = next(clip for clip in english if clip.name.endswith(".wav"))
    return traffic.Payloads(clips, others, repeated(source, plan.long_s, folder), other_formats(plan),
                            invalid_files(source, folder))


async def has_stable_text(caller, model, clip):
    """Whether a clip is transcribed without temperature fallback, so that its text is not sampled."""
    answers = []
    for options in ({"response_format": "verbose_json"}, {}, {"temperature": "[0]"}):
        fields = {"model": model, "language": clip.language} | options
        reply = await caller.send("POST", "/v1/audio/transcriptions", traffic.form(fields, clip.read()),
                                  {"Content-Type": traffic.FORM})
        assert reply.status == 200, f"{clip.name} with {model} alone: {reply.status} {reply.text()[:300]}"
        answers.append(reply.json())
    reference = units(clip.text, clip.language)
    wrong = edits(reference, units(answers[1]["text"], clip.language)) / max(1, len(reference))
    return (wrong <= MAX_WORD_ERROR_RATE and answers[1]["text"] == answers[2]["text"]
            and not any(segment["temperature"] for segment in answers[0]["segments"]))


def sample_clip(path):
    with wave.open(str(path)) as audio:
        return Clip(str(path), "en", speech.SENTENCE, audio.getnframes() / audio.getframerate(), "short")


def repeated(clip, seconds, folder):
    """A WAV file repeated for a number of seconds."""
    path = os.path.join(folder, "long.wav")
    with wave.open(clip.path) as source, wave.open(path, "wb") as target:
        target.setparams(source.getparams())
        frames = source.readframes(source.getnframes())
        for _ in range(max(1, round(seconds / clip.duration_s))):
            target.writeframes(frames)
    return Clip(path, clip.language, clip.text, seconds, "long")


def other_formats(plan):
    """The same sentence in other containers and codecs, if the manifest's folder has them."""
    folder = plan.manifest.parent / "formats" if plan.manifest else None
    paths = sorted(folder.iterdir()) if folder and folder.is_dir() else []
    return [Clip(str(path), "en", "", 0, "format") for path in paths if path.stat().st_size < plan.upload_mib * 2**20]


def invalid_files(clip, folder):
    """Files that cannot be decoded, and a truncated one."""
    whole, rng = clip.read(), random.Random(7)
    made = {"empty": b"", "one byte": b"R", "random": rng.randbytes(50000), "text": b"This is no audio.",
            "header only": whole[:44], "too short": whole[:44 + 2000], "zeros": bytes(100000),
            "truncated": whole[:len(whole) // 2],
            "random ogg": b"OggS" + rng.randbytes(20000), "random mp4": b"\0\0\0\x18ftypM4A " + rng.randbytes(20000),
            "random flac": b"fLaC" + rng.randbytes(20000), "random webm": b"\x1aE\xdf\xa3" + rng.randbytes(20000),
            "random mp3": b"ID3\x04\0\0\0\0\0\x0a" + rng.randbytes(50), "random wav": whole[:20] + rng.randbytes(40)}
    clips = []
    for name, content in made.items():
        path = os.path.join(folder, f"{name.replace(' ', '_')}.bin")
        with open(path, "wb") as file:
            file.write(content)
        clips.append(Clip(path, "en", "", 0, "bad"))
    return clips
