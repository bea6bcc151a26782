"""Random numbers as bytes, as fast as memory is copied.

A quarter of a million normal numbers is drawn once; what is asked for is a piece of them from a random place. A large
model has 6,000 times as many weights, so pieces repeat, which neither the arithmetic nor its time depends on.
"""
import random
import struct

SIZE = 1 << 18
# Numbers beyond so many deviations are cut to them; so are 8-bit integers scaled.
BOUND = 4.0


class Format:
    """A number format of CTranslate2: the number it has in a file, its letter in `struct`, its bytes."""

    def __init__(self, kind, letter):
        self.kind, self.letter, self.bytes = kind, letter, struct.calcsize(letter)

    def pack(self, numbers):
        return struct.pack(f"<{len(numbers)}{self.letter}", *numbers)


FLOAT32, INT8, INT16, FLOAT16 = Format(0, "f"), Format(1, "b"), Format(2, "h"), Format(4, "e")


class Pool:
    """Numbers of mean 0; those of 8 bits are to be divided by `scale`."""

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
