#!/usr/bin/env python3
"""Proves what GPU code a program holds, without a GPU, a driver or a CUDA toolkit; exits with 1 when it is not right.

    scripts/check_cuda_binary.py PROGRAM [--arch '8.0;8.6;8.9;9.0'] [--cublas libcublas.so.13]

It reads the ELF file itself: the compute capabilities of the machine code in .nv_fatbin, each of which every
compiled CUDA source must have; the shared libraries that the program needs to start, none of which may be NVIDIA's,
or it would not start on a machine without them; and the name of the cuBLAS library that it opens at run time.
"""

import argparse
import collections
import os
import re
import struct
import sys

CONTAINER_MAGIC = 0xBA55ED50
PTX, MACHINE_CODE = 1, 2
NVIDIA = re.compile(r"^lib(cu|nv)[a-zA-Z_]*\.so")
DT_NEEDED = 1


class Program:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError("not a 64-bit little-endian ELF file")
        (table,) = struct.unpack_from("<Q", self.data, 40)
        size, count, names = struct.unpack_from("<HHH", self.data, 58)
        headers = [struct.unpack_from("<IIQQQQ", self.data, table + i * size) for i in range(count)]
        text = self.data[headers[names][4] :]
        # name -> address, offset, size
        self.sections = {
            text[header[0] : text.index(b"\0", header[0])].decode(): header[3:] for header in headers
        }

    def section(self, name):
        if name not in self.sections:
            return b""
        _, offset, size = self.sections[name]
        return self.data[offset : offset + size]

    def needed(self):
        """The shared libraries without which the program does not start."""
        strings = self.section(".dynstr")
        entries = struct.iter_unpack("<QQ", self.section(".dynamic"))
        return [strings[at : strings.index(b"\0", at)].decode() for tag, at in entries if tag == DT_NEEDED]

    def gpu_code(self):
        """For each compiled CUDA source a list of (kind, compute capability), such as (2, "9.0")."""
        section, at = self.section(".nv_fatbin"), 0
        magic = struct.pack("<I", CONTAINER_MAGIC)
        while (at := section.find(magic, at)) >= 0:
            _, _, header, size = struct.unpack_from("<IHHQ", section, at)
            entry, at = at + header, at + header + size
            found = []
            while entry < at:
                kind, _, header, size = struct.unpack_from("<HHIQ", section, entry)
                (arch,) = struct.unpack_from("<I", section, entry + 28)
                found.append((kind, f"{arch // 10}.{arch % 10}"))
                entry += header + size
            yield found


def main():
    default_arch = os.environ.get("CUDA_ARCH_LIST") or "8.0;8.6;8.9;9.0"
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program")
    parser.add_argument("--arch", default=default_arch, help="compute capabilities that must be in it")
    parser.add_argument("--cublas", default="libcublas.so.13", help="the library that it must open at run time")
    arguments = parser.parse_args()

    faults = []
    program = Program(arguments.program)
    print(f"size: {len(program.data):,} bytes")

    sources = list(program.gpu_code())
    counts = collections.Counter(entry for source in sources for entry in source)
    print(f"GPU code: {len(program.section('.nv_fatbin')):,} bytes from {len(sources)} CUDA sources")
    for (kind, arch), count in sorted(counts.items()):
        name = {PTX: "PTX", MACHINE_CODE: "machine code"}.get(kind, f"kind {kind}")
        print(f"  compute capability {arch}: {name} of {count}")
    if not sources:
        faults.append("there is no GPU code in it")
    for arch in filter(None, re.split(r"[;,\s]+", arguments.arch)):
        without = sum((MACHINE_CODE, arch) not in source for source in sources)
        if without:
            faults.append(f"{without} of {len(sources)} CUDA sources have no machine code for {arch}")

    needed = program.needed()
    print("needs at start:", " ".join(needed))
    if any(map(NVIDIA.match, needed)):
        faults.append("it needs NVIDIA's libraries at start, and so a machine that has them")

    opened = sorted(set(re.findall(rb"libcublas\.so\.[0-9]+", program.data)))
    opened = [name.decode() for name in opened]
    print("opens at the first use of a GPU:", " ".join(opened) or "nothing")
    if opened != [arguments.cublas]:
        faults.append(f"the name {arguments.cublas} should be in it, and no other cuBLAS")

    for fault in faults:
        print(f"wrong: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, struct.error) as error:
        sys.exit(f"check_cuda_binary: {error}")
