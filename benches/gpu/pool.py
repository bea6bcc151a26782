"""Random numbers as bytes, at the speed of copying memory.

A quarter of a million normally distributed numbers is drawn once; each request returns a slice of them from a random
offset. A large model has 6,000 times as many weights, so slices repeat, which affects neither the results' validity nor
the time.
"""
import random
import struct

SIZE = 1 << 18
# Numbers are clamped to this many standard deviations, which is also the range of 8-bit integers.
BOUND = 4.0


class Format:
    """A number format of CTranslate2: its code in a file, its letter in `struct`, its size in bytes."""

    def __init__(self, kind, letter):
        self.kind, self.letter, self.bytes = kind, letter, struct.calcsize(letter)

    def pack(self, numbers):
        return struct.pack(f"<{len(numbers)}{self.letter}", *numbers)


FLOAT32, INT8, INT16, FLOAT16 = Format(0, "f"), Format(1, "b"), Format(2, "h"), Format(4, "e")


class Pool:
    """Numbers with mean 0; those of 8 bits must be divided by `scale`."""

    def __init__(self, number_format, deviation, longest, seed):
        self.format = number_format
        self.scale = 127 / (BOUND * deviation)
        rng = random.Random(seed)
        drawn = [max(-BOUND, min(BOUND, rng.gauss(0, 1))) * deviation for _ in range(SIZE + longest)]
        if number_format is INT8:
            drawn = [round(number * self.scale) for number in drawn]
        self._bytes = number_format.pack(drawn)
        self._random = rng.random

    def take(self, count):
        start = int(self._random() * SIZE) * self.format.bytes
        return self._bytes[start:start + count * self.format.bytes]
