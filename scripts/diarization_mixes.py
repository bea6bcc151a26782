"""Makes two-minute mixes of known voices with their labels, to measure speaker diarization (docs/speakers.md).

    pip install numpy scipy soundfile
    python scripts/diarization_mixes.py --recordings FOLDER --spans target/release/examples/speech_spans --out FOLDER

FOLDER holds the recordings of CONTRIBUTING.md. Each mix has 2 to 5 voices in turns of up to 9 s, two in five of which
begin before the last one ends. Labels are the speech that the built-in detector finds in the clean recordings. Written
are, for each mix, its labels (`.rttm`) and three versions: `clean`, `noisy` (pink noise 10 dB below the speech) and
`telephone` (300 to 3,400 Hz at 8 kHz, 8-bit mu-law). The same arguments give the same files.
"""

import argparse
import subprocess
from pathlib import Path

import numpy as np
import soundfile
from scipy import signal

RATE_HZ, MIX_S = 16_000, 120.0

# Recordings by voice. The voices of the first two groups share a corpus.
CORPORA = {
    "picovoice": {
        f"picovoice_{code}": [f"{code}_picovoice.wav"] for code in ("de", "es", "fr", "it", "ja", "ko", "pt")
    },
    "fleurs": {
        f"fleurs_{code}_{number}": [f"{code}_fleurs_00{number}.ogg"]
        for code, number in (("en", 0), ("de", 0), ("es", 1), ("fr", 1), ("pt", 0))
    },
    "other": {
        "lj": ["long_en_lj001_4min.flac"],
        "sonnet": ["long_en_sonnet1_53s.mp3"],
        "sense": [f"en_librivox_sense_0{number}.wav" for number in (870, 880, 890, 920, 930)],
        "jfk": ["en_jfk.wav"],
        "quilter": ["en_libri_quilter.wav"],
        "nature": ["en_nature_24k.wav"],
        "zh": ["zh_f5_24k.wav"],
        "ru": ["ru_sample.wav"],
    },
}


def load(path):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(axis=1)
    if rate != RATE_HZ:
        samples = signal.resample_poly(samples, RATE_HZ, rate).astype(np.float32)
    return samples


def voices(recordings, program):
    """For each voice, its recordings: samples, and spans of speech in seconds."""
    files = {name: files for corpus in CORPORA.values() for name, files in corpus.items()}
    paths = [str(recordings / file) for group in files.values() for file in group]
    lines = subprocess.run([program, *paths], capture_output=True, text=True, check=True).stdout.splitlines()
    spans = {}
    for line in lines:
        path, start, end = line.split("\t")
        spans.setdefault(path, []).append((float(start), float(end)))
    found = {}
    for name, group in files.items():
        found[name] = []
        for file in group:
            samples = load(recordings / file)
            speech = spans[str(recordings / file)]
            active = np.concatenate([samples[int(a * RATE_HZ) : int(b * RATE_HZ)] for a, b in speech])
            found[name].append((samples * (0.06 / np.sqrt(np.mean(active**2))), speech))
    return found


def turn(random, parts):
    """A part of a recording that starts and ends between spans of speech, and its spans."""
    samples, spans = parts[random.integers(len(parts))]
    first = random.integers(len(spans))
    wanted = random.uniform(1.5, 7.0)
    last = first
    while last + 1 < len(spans) and spans[last + 1][1] - spans[first][0] < wanted:
        last += 1
    start, end = spans[first][0], min(spans[last][1], spans[first][0] + 9.0)
    inner = [(a - start, min(b, end) - start) for a, b in spans[first : last + 1] if a < end]
    return samples[int(start * RATE_HZ) : int(end * RATE_HZ)], inner


def mix(random, catalog, names):
    samples, labels = np.zeros(int((MIX_S + 20) * RATE_HZ), np.float32), []
    now, previous, last = 0.5, None, 0.0
    loudness = {name: 10 ** (random.uniform(-3, 3) / 20) for name in names}
    while now < MIX_S:
        name = random.choice([name for name in names if name != previous])
        audio, spans = turn(random, catalog[name])
        duration = len(audio) / RATE_HZ
        start = now
        # Two turns in five begin before the last one ends.
        if previous is not None and random.random() < 0.4:
            start -= min(random.uniform(0.3, 1.6), 0.5 * duration, 0.5 * last)
        else:
            start += random.uniform(0.0, 0.8)
        at = int(start * RATE_HZ)
        samples[at : at + len(audio)] += audio * loudness[name]
        labels += [(start + a, start + b, name) for a, b in spans]
        now, previous, last = max(now, start + duration), name, duration
    return samples[: int((now + 0.5) * RATE_HZ)], labels


def pink(random, count):
    spectrum = np.fft.rfft(random.standard_normal(count))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, count)
    return noise / np.sqrt(np.mean(noise**2))


def telephone(samples):
    narrow = signal.resample_poly(samples, 1, 2)
    narrow = signal.sosfilt(signal.butter(4, (300, 3_400), "bandpass", fs=8_000, output="sos"), narrow)
    narrow = np.clip(narrow, -1, 1)
    code = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)) / 127
    return np.sign(code) * (256 ** np.abs(code) - 1) / 255


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--recordings", type=Path, required=True)
    parser.add_argument("--spans", required=True, help="the program speech_spans")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    catalog = voices(arguments.recordings, arguments.spans)
    everyone = list(catalog)
    for folder in ("clean", "noisy", "telephone"):
        (arguments.out / folder).mkdir(parents=True, exist_ok=True)
    for number in range(20):
        random = np.random.default_rng(number)
        # Six mixes of one corpus; the others of all voices.
        pool = list(CORPORA["picovoice"]) if number < 3 else list(CORPORA["fleurs"]) if number < 6 else everyone
        names = random.choice(pool, 2 + number % 4, replace=False)
        samples, labels = mix(random, catalog, names)
        name = f"mix{number:02}"
        rttm = (f"SPEAKER {name} 1 {a:.3f} {b - a:.3f} <NA> <NA> {who} <NA> <NA>\n" for a, b, who in sorted(labels))
        (arguments.out / f"{name}.rttm").write_text("".join(rttm))
        samples *= 0.9 / np.abs(samples).max()
        noise = pink(random, len(samples)) * np.sqrt(np.mean(samples**2)) * 10 ** (-10 / 20)
        soundfile.write(arguments.out / "clean" / f"{name}.wav", samples, RATE_HZ)
        soundfile.write(arguments.out / "noisy" / f"{name}.wav", np.clip(samples + noise, -1, 1), RATE_HZ)
        soundfile.write(arguments.out / "telephone" / f"{name}.wav", telephone(samples), 8_000)
        print(name, len(names), f"{len(samples) / RATE_HZ:.1f} s", len(labels), "spans")


if __name__ == "__main__":
    main()
