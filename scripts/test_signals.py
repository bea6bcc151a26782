"""Signals of which the tests of networks have reference values."""

import wave

import numpy as np

RATE_HZ = 16_000


def synthetic(samples):
    """A buzz of 110 to 150 Hz through two resonances that wander, in bursts of growing loudness over
    LCG noise; the same in `crates/audio/src/synthetic_speech.rs`."""
    state, noise = 1, np.empty(samples)
    for i in range(samples):
        state = (state * 1664525 + 1013904223) % 2**32
        noise[i] = (state / 2**31 - 1.0) * 0.003
    t = np.arange(samples) / RATE_HZ
    phase = 2 * np.pi * 130.0 * t + 10.0 * np.sin(2 * np.pi * 0.5 * t)
    low = 500.0 + 250.0 * np.sin(2 * np.pi * 1.3 * t)
    high = 1600.0 + 600.0 * np.sin(2 * np.pi * 0.9 * t)
    buzz = np.zeros(samples)
    for harmonic in range(1, 31):
        hz = 130.0 * harmonic
        loudness = 0.03 + np.exp(-(((hz - low) / 200.0) ** 2))
        loudness += 0.5 * np.exp(-(((hz - high) / 250.0) ** 2))
        buzz += loudness * np.sin(harmonic * phase)
    syllables = np.maximum(np.sin(2 * np.pi * 2.0 * t), 0.0) * np.where(t % 2.5 < 1.5, 1.0, 0.0)
    return (noise + 0.02 * t * syllables * buzz).astype(np.float32)


def recording(path):
    with wave.open(str(path)) as wav:
        assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE_HZ, 1, 2)
        pcm = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2")
    return pcm.astype(np.float32) / 32768.0
