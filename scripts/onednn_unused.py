#!/usr/bin/env python3
"""Source files of oneDNN that no program of this project needs, for the lists of cmake/onednn.cmake.

usage: onednn_unused.py BUILD ARCHIVE [ARCHIVE...]

BUILD is the folder `out/build` of onednn-src, compiled with the options of cmake/onednn.cmake and both of its lists
empty. The archives are those that call oneDNN: libctranslate2.a and libhalkspeech_ct2.a. Prints a path per line, below
`src` and without `.cpp`. Needs `nm`.
"""
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path


def symbols(path):
    """The symbols that an object or archive needs, defines, and defines weakly."""
    needed, defined, weak = set(), set(), set()
    listing = subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout
    for line in listing.splitlines():
        kind, name = line.split(" ")[-2:]
        if kind == "U":
            needed.add(name)
        elif kind in "WVu":
            weak.add(name)
        elif kind.isupper() and kind != "A":
            defined.add(name)
    return needed, defined, weak


def main(build, archives):
    objects = {path: symbols(path) for path in Path(build).rglob("*.o")}
    definitions, weak_definitions = {}, defaultdict(list)
    for path, (_, defined, weak) in objects.items():
        definitions.update(dict.fromkeys(defined, path))
        for name in weak:
            weak_definitions[name].append(path)
    pending = set().union(*(symbols(archive)[0] for archive in archives))
    used = set()
    while pending:
        name = pending.pop()
        candidates = [definitions[name]] if name in definitions else weak_definitions[name]
        if candidates and used.isdisjoint(candidates):
            used.add(candidates[0])
            pending |= objects[candidates[0]][0]
    for path in sorted(objects.keys() - used):
        print(re.sub(r".*/src/(.*)CMakeFiles/[^/]+\.dir/(.*)\.cpp\.o", r"\1\2", str(path)))


if len(sys.argv) < 3:
    sys.exit(__doc__)
main(sys.argv[1], sys.argv[2:])
