"""Registers odd sound files by name and makes them with ffmpeg in one folder.

`FILES` has a function for each name, which writes the file; `SOURCES` has the odd files that it is made from.
Registering a file runs no ffmpeg.
"""
import functools
import pathlib
import random
import re
import shlex
import subprocess
import threading
import zlib

FILES = {}
SOURCES = {}
VIDEO = "-f lavfi -i testsrc=s=160x120:r=10:d=11"
H264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 20"
_folder = None


def use_folder(folder):
    """Sets the folder in which all files are made."""
    global _folder
    _folder = pathlib.Path(folder).resolve()
    for name in ("made", "parts", "ffmpeg"):
        (_folder / name).mkdir(parents=True, exist_ok=True)


def folder():
    """The folder of all files: `made` has the odd files, `parts` their parts, `ffmpeg` the files decoded by ffmpeg."""
    assert _folder is not None, "use_folder must be called first"
    return _folder


def generated_path(name):
    """The path of an odd file."""
    return folder() / "made" / name


def case(name, arguments, inputs="-i speech.wav"):
    """Registers a file that is made by one ffmpeg command."""
    FILES[name] = lambda: ffmpeg(f"{inputs} {arguments} -y made/{name}")
    SOURCES[name] = re.findall(r"made/(\S+)", inputs)


def bytes_case(name):
    """Registers a file whose bytes the decorated function returns."""
    def register(make):
        FILES[name] = lambda: generated_path(name).write_bytes(make())
        return make
    return register


def ffmpeg(arguments):
    done = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", *shlex.split(arguments)],
                          cwd=folder(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "ffmpeg failed")


@functools.lru_cache(None)
def encoded(arguments, suffix, inputs="-i speech.wav"):
    """The bytes that ffmpeg makes with these arguments."""
    name = f"parts/{zlib.crc32((arguments + inputs).encode()):08x}-{threading.get_ident()}.{suffix}"
    ffmpeg(f"{inputs} {arguments} -y {name}")
    return (folder() / name).read_bytes()


def raw(form="s16le", arguments=""):
    """The samples of the speech without a header."""
    return encoded(f"{arguments} -f {form}", form)


@functools.lru_cache(None)
def frames_of(arguments, suffix):
    """The frames of a raw stream (MP3, ADTS, AC-3), as found by ffprobe."""
    data = encoded(arguments, suffix)
    path = folder() / "parts" / f"frames-{zlib.crc32(arguments.encode()):08x}-{threading.get_ident()}.{suffix}"
    path.write_bytes(data)
    rows = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "packet=pos,size", "-of", "csv=p=0", path],
                          capture_output=True, text=True, check=True).stdout.split()
    return [data[int(pos):int(pos) + int(size)] for size, pos in (row.strip(",").split(",")[:2] for row in rows)]


def noise(size, seed=1):
    """Random bytes, the same each time."""
    return random.Random(seed).randbytes(size)


def cut(data, share):
    """The first bytes, a share of all."""
    return data[:int(len(data) * share)]


def middle(data, junk):
    """The bytes with some in the middle overwritten."""
    at = len(data) // 2
    return data[:at] + junk + data[at + len(junk):]
