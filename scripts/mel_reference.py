"""Writes crates/whisper/fixtures/mel_reference.json: log-mel values of faster-whisper's FeatureExtractor.

    pip install faster-whisper && python scripts/mel_reference.py --jfk PATH

For each case: the mean of every mel band over all frames (so that every frame is covered) and all
bands of a few frames: the first ones, those around the end of the clip, the last ones. The
recording itself is not part of the project; only values computed from it are stored.
"""

import argparse
import json
import wave
from pathlib import Path

import numpy as np
from faster_whisper.feature_extractor import FeatureExtractor

ROOT = Path(__file__).resolve().parent.parent
RATE_HZ, HOP = 16_000, 160


def synthetic(samples):
    """A chirp from 50 Hz to 7.5 kHz each 3 s, swelling and falling, over LCG noise; the same in
    `features.rs`."""
    state, values = 1, np.empty(samples)
    for i in range(samples):
        state = (state * 1664525 + 1013904223) % 2**32
        values[i] = (state / 2**31 - 1.0) * 0.01
    t = np.arange(samples) / RATE_HZ
    u = t % 3.0
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * t / 0.7)
    values += 0.5 * swell * np.sin(2 * np.pi * (50.0 * u + (7450.0 / 6.0) * u * u))
    return values.astype(np.float32)


def recording(path, samples):
    with wave.open(str(path)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE_HZ, 1, 2)
        pcm = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2")
    assert samples <= len(pcm)
    return pcm[:samples].astype(np.float32) / 32768.0


def case(signal, pcm, frames, n_mels):
    padded = np.pad(pcm, (0, frames * HOP - len(pcm)))
    mel = FeatureExtractor(feature_size=n_mels)(padded, padding=0)
    assert mel.shape == (n_mels, frames), mel.shape
    end = len(pcm) // HOP
    columns = {0, 1, 2, end // 2, *range(end - 2, end + 4), frames - 2, frames - 1}
    columns = sorted(c for c in columns if 0 <= c < frames)
    decimals = lambda values: [round(float(v), 6) for v in values]
    return {
        "signal": signal,
        "samples": len(pcm),
        "frames": frames,
        "n_mels": n_mels,
        "band_means": decimals(mel.astype(np.float64).mean(axis=1)),
        "columns": {str(c): decimals(mel[:, c]) for c in columns},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jfk", type=Path, required=True, help="jfk.wav, which `make models` fetches")
    arguments = parser.parse_args()
    cases = []
    for n_mels in (80, 128):
        # Ends in the middle of the window, shortly before its end, at its end.
        for samples, frames in ((51_237, 500), (47_980, 300), (48_000, 300)):
            cases.append(case("synthetic", synthetic(samples), frames, n_mels))
        for samples, frames in ((48_000, 300), (48_000, 1000), (176_000, 1500)):
            cases.append(case("jfk", recording(arguments.jfk, samples), frames, n_mels))
    target = ROOT / "crates/whisper/fixtures/mel_reference.json"
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    target.write_text(f"[\n{lines}\n]\n")
    print(f"{target}: {len(cases)} cases, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
