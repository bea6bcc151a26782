"""Reads the manifest of a folder of recordings, selects, cuts and joins clips.

The manifest has a line per clip: file, language, text, duration_s, kind.
"""
import json
import os
import wave
from dataclasses import dataclass

SAMPLE_RATE_HZ = 16000


@dataclass(frozen=True)
class Clip:
    path: str
    language: str
    text: str
    duration_s: float
    kind: str

    @property
    def name(self):
        return os.path.basename(self.path)

    def read(self):
        with open(self.path, "rb") as file:
            return file.read()


def read_manifest(manifest):
    """Every clip of the manifest that has a text."""
    folder = os.path.dirname(os.path.abspath(manifest))
    with open(manifest, encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines if line.strip()]
    return [Clip(os.path.join(folder, entry["file"]), entry["language"], entry["text"], entry["duration_s"],
                 entry["kind"]) for entry in entries if entry["text"]]


def short_clips(clips, longest_s=12.0):
    """Short clips of one speaker, recorded by a microphone or a telephone."""
    return [clip for clip in clips if clip.kind in ("short", "telephone") and clip.duration_s <= longest_s]


def cut(clip, seconds, folder):
    """The first seconds of a clip as a WAV file; needs faster-whisper's decoder."""
    path = os.path.join(folder, f"{os.path.splitext(clip.name)[0]}_{seconds:g}s.wav")
    _write(path, _decode(clip.path)[:int(seconds * SAMPLE_RATE_HZ)])
    return Clip(path, clip.language, clip.text, seconds, clip.kind)


def join(clips, shortest_s, longest_s, folder):
    """Joins clips of one language, with half a second between, to clips of `shortest_s` to `longest_s`."""
    import numpy
    pause = numpy.zeros(SAMPLE_RATE_HZ // 2, numpy.float32)
    joined = []
    for language in sorted({clip.language for clip in clips}):
        row, length = [], 0.0
        for clip in (clip for clip in clips if clip.language == language):
            if length + clip.duration_s + 0.5 > longest_s:
                row, length = [], 0.0
            row.append(clip)
            length += clip.duration_s + 0.5
            if length - 0.5 >= shortest_s:
                path = os.path.join(folder, f"{language}_joined_{len(joined)}.wav")
                parts = [part for clip in row for part in (_decode(clip.path), pause)][:-1]
                samples = numpy.concatenate(parts)
                _write(path, samples)
                joined.append(Clip(path, language, " ".join(clip.text for clip in row),
                                   len(samples) / SAMPLE_RATE_HZ, "joined"))
                row, length = [], 0.0
    return joined


def _decode(path):
    from faster_whisper.audio import decode_audio
    return decode_audio(path, sampling_rate=SAMPLE_RATE_HZ)


def _write(path, samples):
    import numpy
    with wave.open(path, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((numpy.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
