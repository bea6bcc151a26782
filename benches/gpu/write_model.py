#!/usr/bin/env python3
"""Writes a Whisper model with random weights in the exact shape of a real one, in CTranslate2's format.

usage: write_model.py SHAPE OUT_DIR [--dtype float16|float32|int8] [--tokens 100] [--seed 1]

SHAPE is a name, such as large-v3-turbo, large-v3, base or tiny.en, or six comma-separated numbers: width, heads,
encoder layers, decoder layers, mels (80 or 128) and tokens (51864, 51865 or 51866). The model needs as much memory and
time as the real one, and generates random text: `--tokens` words for every window, with the default prompt of four
tokens, in a greedy search and with any number of beams. weights.py explains how. Needs only Python 3.9.
"""
import argparse
import os
import time

import ct2_file
import shapes
import token_files
from weights import Weights

# With one more the server treats the text as cut off (448 tokens in all, half of them for the text).
MAX_TOKENS = 222


def write_model(shape, folder, dtype="float16", text_tokens=100, seed=1):
    """Returns the size of the weights' file in bytes."""
    os.makedirs(folder, exist_ok=True)
    tokens = token_files.write(folder, shape)
    variables, aliases = Weights(shape, tokens, dtype, seed).all(text_tokens)
    path = os.path.join(folder, "model.bin")
    ct2_file.write(path, variables, aliases)
    return os.path.getsize(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", type=shapes.parse, metavar="SHAPE")
    parser.add_argument("folder", metavar="OUT_DIR")
    parser.add_argument("--dtype", choices=["float16", "float32", "int8"], default="float16")
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if not 1 <= args.tokens <= MAX_TOKENS:
        parser.error(f"--tokens is 1 to {MAX_TOKENS}")
    start = time.monotonic()
    size = write_model(args.shape, args.folder, args.dtype, args.tokens, args.seed)
    print(f"{args.folder}: {size / 1e6:.0f} MB in {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
