"""Chooses and makes what a soak sends: clips that have one text, a long recording, files that are none."""
import os
import random
import wave

import load
import speech
from clips import Clip, read_manifest, short_clips
from soaking import traffic
from soaking.ledger import Ledger
from words import edits, units

ENOUGH_WORDS = 0.5  # of a clip's words may be wrong: a small model is no reason to fail


async def find_material(target, plan, folder):
    """Clips whose text is the same with and without falling back, near enough to what was said; and all the rest."""
    every = read_manifest(plan.manifest) if plan.manifest else [sample_clip(plan.sample)]
    short = short_clips(every)
    english = [clip for clip in short if clip.language == "en"]
    others = [clip for clip in short if clip.language in ("tr", "de", "fr")]
    row = random.Random(plan.seed)
    chosen = {model: row.sample(english, min(4, len(english))) for model in target.models}
    chosen[target.models[0]] = (row.sample(english, min(3, len(english)))
                                + row.sample(others, min(3, len(others))))
    async with load.session() as client:
        caller = traffic.Caller(target, None, client, Ledger(), row)
        clips = {model: [clip for clip in chosen[model] if await is_steady(caller, model, clip)] for model in chosen}
        # Alone, each clip has to have the text that was said.
        empty = [model for model, steady in clips.items() if not steady]
        assert not empty, f"no clip has a steady text near its reference with {', '.join(empty)}"
    source = next(clip for clip in english if clip.name.endswith(".wav"))
    return traffic.Material(clips, others, repeated(source, plan.long_s, folder), other_formats(plan),
                            bad_files(source, folder))


async def is_steady(caller, model, clip):
    """Whether a clip is written down without a second try, so that no chance is in its text."""
    answers = []
    for wish in ({"response_format": "verbose_json"}, {}, {"temperature": "[0]"}):
        fields = {"model": model, "language": clip.language} | wish
        reply = await caller.ask("POST", "/v1/audio/transcriptions", traffic.form(fields, clip.read()),
                                 {"Content-Type": traffic.FORM})
        assert reply.status == 200, f"{clip.name} with {model}, alone: {reply.status} {reply.text()[:300]}"
        answers.append(reply.json())
    reference = units(clip.text, clip.language)
    wrong = edits(reference, units(answers[1]["text"], clip.language)) / max(1, len(reference))
    return (wrong <= ENOUGH_WORDS and answers[1]["text"] == answers[2]["text"]
            and not any(segment["temperature"] for segment in answers[0]["segments"]))


def sample_clip(path):
    with wave.open(str(path)) as audio:
        return Clip(str(path), "en", speech.SENTENCE, audio.getnframes() / audio.getframerate(), "short")


def repeated(clip, seconds, folder):
    """A WAV file said again and again, for so long."""
    path = os.path.join(folder, "long.wav")
    with wave.open(clip.path) as source, wave.open(path, "wb") as target:
        target.setparams(source.getparams())
        frames = source.readframes(source.getnframes())
        for _ in range(max(1, round(seconds / clip.duration_s))):
            target.writeframes(frames)
    return Clip(path, clip.language, clip.text, seconds, "long")


def other_formats(plan):
    """The same sentence in other containers and codecs, where the manifest's folder has them."""
    folder = plan.manifest.parent / "formats" if plan.manifest else None
    paths = sorted(folder.iterdir()) if folder and folder.is_dir() else []
    return [Clip(str(path), "en", "", 0, "format") for path in paths if path.stat().st_size < plan.upload_mib * 2**20]


def bad_files(clip, folder):
    """Files that nobody can decode, and one that breaks off."""
    whole, row = clip.read(), random.Random(7)
    made = {"empty": b"", "one byte": b"R", "random": row.randbytes(50000), "text": b"This is no audio.",
            "header only": whole[:44], "too short": whole[:44 + 2000], "zeros": bytes(100000),
            "truncated": whole[:len(whole) // 2],
            "random ogg": b"OggS" + row.randbytes(20000), "random mp4": b"\0\0\0\x18ftypM4A " + row.randbytes(20000),
            "random flac": b"fLaC" + row.randbytes(20000), "random webm": b"\x1aE\xdf\xa3" + row.randbytes(20000),
            "random mp3": b"ID3\x04\0\0\0\0\0\x0a" + row.randbytes(50), "random wav": whole[:20] + row.randbytes(40)}
    clips = []
    for name, content in made.items():
        path = os.path.join(folder, f"{name.replace(' ', '_')}.bin")
        with open(path, "wb") as file:
            file.write(content)
        clips.append(Clip(path, "en", "", 0, "bad"))
    return clips
