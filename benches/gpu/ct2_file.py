"""Writes CTranslate2's `model.bin` variable by variable, without keeping a model in memory.

The format is version 6 of `Model::load` in CTranslate2's src/models/model.cc: the version, the specification's name and
revision, the number of variables, and for each its name, its dimensions, its number format, its size in bytes and its
content; then aliases of variables.
"""
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

VERSION, SPECIFICATION, REVISION = 6, "WhisperSpec", 3
# Size of the file's buffer.
BUFFER_BYTES = 1 << 22


class Variable(NamedTuple):
    name: str
    dimensions: tuple
    format: object
    # Called once, when the variable is written; yields its bytes in chunks.
    content: Callable[[], Iterable[bytes]]

    @property
    def bytes(self):
        count = self.format.bytes
        for size in self.dimensions:
            count *= size
        return count


def write(path, variables, aliases):
    """`aliases` are pairs of an alias and the variable's name."""
    with open(path, "wb", buffering=BUFFER_BYTES) as file:
        file.write(struct.pack("<I", VERSION) + text(SPECIFICATION) + struct.pack("<II", REVISION, len(variables)))
        for variable in variables:
            rank = len(variable.dimensions)
            file.write(text(variable.name) + struct.pack(f"<B{rank}I", rank, *variable.dimensions)
                       + struct.pack("<BI", variable.format.kind, variable.bytes))
            written = sum(file.write(chunk) for chunk in variable.content())
            assert written == variable.bytes, f"{variable.name}: {written} bytes instead of {variable.bytes}"
        file.write(struct.pack("<I", len(aliases)))
        for pair in aliases:
            file.write(b"".join(map(text, pair)))


def text(string):
    return struct.pack("<H", len(string) + 1) + string.encode() + b"\0"
