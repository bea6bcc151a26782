"""The audio for requests: synthetic clips of any length, and recordings from a folder."""
import array
import io
import json
import math
import os
import random
import wave
from dataclasses import dataclass

RATE_HZ = 16000
KINDS = (".wav", ".ogg", ".mp3", ".flac", ".m4a", ".webm")


@dataclass(frozen=True)
class Lengths:
    """Lengths of clips, in seconds: one, or each from `shortest` to `longest` once, in random order."""
    shortest: int
    longest: int = 0

    def __str__(self):
        return f"{self.shortest}-{self.longest}" if self.longest else str(self.shortest)

    def clips(self):
        """The clips, one of a medium length first."""
        seconds = list(range(self.shortest, max(self.shortest, self.longest) + 1))
        medium = seconds.pop(len(seconds) // 2)
        random.Random(1).shuffle(seconds)
        return [synthetic(each) for each in [medium, *seconds]]


def synthetic(seconds, seed=1):
    """A WAV file similar to a voice: harmonics of 120 Hz that swell four times a second, and some noise. The content
    does not matter to a model with random weights; a voice detector may not find speech in it."""
    rng = random.Random(seed)
    one_second = array.array("h", (
        int(6000 * (0.55 - 0.45 * math.cos(8 * math.pi * index / RATE_HZ))
            * (sum(math.sin(240 * math.pi * k * index / RATE_HZ) / k for k in range(1, 6)) + rng.gauss(0, 0.1)) / 2)
        for index in range(RATE_HZ)))
    samples = (one_second * (int(seconds) + 1))[:int(seconds * RATE_HZ)]
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE_HZ)
        writer.writeframes(samples.tobytes())
    return file.getvalue()


def recordings(folder, language, max_count):
    """Name, language and content of the recordings in a folder, sorted by name. If it has a manifest.jsonl (file,
    language), only those of the language, or for "all" those with any language in it.
    """
    manifest = os.path.join(folder, "manifest.jsonl")
    if os.path.exists(manifest):
        with open(manifest, encoding="utf-8") as lines:
            clips = [json.loads(line) for line in lines if line.strip()]
        spoken = {clip["file"]: clip.get("language") for clip in clips}
    else:
        spoken = {name: language for name in os.listdir(folder) if name.lower().endswith(KINDS)}
    wanted = {name: spoken_in for name, spoken_in in spoken.items() if spoken_in and language in (spoken_in, "all")}
    found = []
    for name in sorted(wanted):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and len(found) < max_count:
            with open(path, "rb") as file:
                found.append((name, wanted[name], file.read()))
    return found
