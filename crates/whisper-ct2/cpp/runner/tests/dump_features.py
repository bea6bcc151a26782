"""Writes log-mel features of recordings, as faster-whisper computes them, for the tests of the runner.

usage: dump_features.py MELS FOLDER RECORDING...
A file has two 32-bit integers, mels and frames, then the features as 32-bit floats, [mels, frames]; 3,000 frames.
"""

import pathlib
import struct
import sys

from faster_whisper.audio import decode_audio
from faster_whisper.feature_extractor import FeatureExtractor

mels, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
for name in sys.argv[3:]:
    audio = decode_audio(name)[: 30 * 16000]
    seconds = len(audio) / 16000
    extractor = FeatureExtractor(feature_size=mels)
    import numpy

    padded = numpy.zeros(30 * 16000, dtype=numpy.float32)
    padded[: len(audio)] = audio
    features = numpy.ascontiguousarray(extractor(padded, padding=0)[:, :3000], dtype=numpy.float32)
    path = folder / (pathlib.Path(name).stem + ".mel")
    path.write_bytes(struct.pack("<ii", *features.shape) + features.tobytes())
    print(path, features.shape, f"{seconds:.2f}")
