#!/usr/bin/env python3
"""Checks the GPU code of a program, without a GPU, a driver or a CUDA toolkit; exits with 1 if something is wrong.

    scripts/check_cuda_binary.py PROGRAM [--arch '8.0;8.6;8.9;9.0'] [--cublas 13] [--libraries libcublas,libcublasLt]

It reads from the ELF file: the compute capabilities of the machine code in .nv_fatbin, each of which every compiled
CUDA source must have; the shared libraries that the program needs to start, none of which may be NVIDIA's, since it
must start on a machine without them; the names of the cuBLAS libraries that it opens at run time; and, unless it is
stripped, that each function that replaces one of CTranslate2 has been linked.
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
        # name: address, offset, size
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

    def wrapped_functions(self):
        """Functions that replace others (the linker's --wrap), each with whether it is linked."""
        strings = self.section(".strtab")
        for name, _, _, section, _, _ in struct.iter_unpack("<IBBHQQ", self.section(".symtab")):
            name = strings[name : strings.index(b"\0", name)]
            if name.startswith(b"__wrap_"):
                yield name.decode(), section != 0

    def gpu_code(self):
        """For each compiled CUDA source a list of (kind, compute capability), such as (2, "9.0")."""
        section, at = self.section(".nv_fatbin"), 0
        magic = struct.pack("<I", CONTAINER_MAGIC)
        while (at := section.find(magic, at)) >= 0:
            _, _, header, size = struct.unpack_from("<IHHQ", section, at)
            entry, at = at + header, at + header + size
            entries = []
            while entry < at:
                kind, _, header, size = struct.unpack_from("<HHIQ", section, entry)
                (arch,) = struct.unpack_from("<I", section, entry + 28)
                entries.append((kind, f"{arch // 10}.{arch % 10}"))
                entry += header + size
            yield entries


def main():
    default_arch = os.environ.get("CUDA_ARCH_LIST") or "8.0;8.6;8.9;9.0"
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("program")
    parser.add_argument("--arch", default=default_arch, help="required compute capabilities")
    parser.add_argument("--cublas", default="13", help="the version of cuBLAS that the program opens at run time")
    parser.add_argument(
        "--libraries", default="libcublas,libcublasLt", help="its libraries; with the feature cuda-runner libcublasLt"
    )
    arguments = parser.parse_args()

    problems = []
    program = Program(arguments.program)
    print(f"size: {len(program.data):,} bytes")

    sources = list(program.gpu_code())
    counts = collections.Counter(entry for source in sources for entry in source)
    print(f"GPU code: {len(program.section('.nv_fatbin')):,} bytes from {len(sources)} CUDA sources")
    for (kind, arch), count in sorted(counts.items()):
        name = {PTX: "PTX", MACHINE_CODE: "machine code"}.get(kind, f"kind {kind}")
        print(f"  compute capability {arch}: {name} of {count}")
    if not sources:
        problems.append("it has no GPU code")
    for arch in filter(None, re.split(r"[;,\s]+", arguments.arch)):
        without = sum((MACHINE_CODE, arch) not in source for source in sources)
        if without:
            problems.append(f"{without} of {len(sources)} CUDA sources have no machine code for {arch}")

    needed = program.needed()
    print("libraries needed to start:", " ".join(needed))
    if any(map(NVIDIA.match, needed)):
        problems.append("it needs NVIDIA's libraries to start")

    opened = sorted(set(re.findall(rb"libcublas(?:Lt)?\.so\.[0-9]+", program.data)))
    opened = [name.decode() for name in opened]
    print("libraries opened at the first use of a GPU:", " ".join(opened) or "nothing")
    expected = [f"{name}.so.{arguments.cublas}" for name in arguments.libraries.split(",")]
    if opened != expected:
        problems.append(f"it should contain the names {' and '.join(expected)}, and no other cuBLAS")

    wrapped_functions = dict(program.wrapped_functions())
    print(f"replaced functions of CTranslate2 and oneDNN: {len(wrapped_functions)}")
    problems += [f"{name} has not been linked" for name, is_linked in wrapped_functions.items() if not is_linked]

    for problem in problems:
        print(f"wrong: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, struct.error) as error:
        sys.exit(f"check_cuda_binary: {error}")
