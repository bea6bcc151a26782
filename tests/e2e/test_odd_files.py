"""Odd sound files of one speech sample: a server reads in them what ffmpeg reads.

Each file is sent, and so is the WAV that ffmpeg makes of it, unless length and words are those of the sample. A file is
equal if the server's duration is within 0.1 s of that of the WAV, its text is at most one word away, and its first
segment begins within 0.5 s of the WAV's. The same without ffmpeg for what docs/audio.md names as built in.

Needs ffmpeg and ffprobe with the usual encoders: a file whose encoder is absent is skipped. `-k` chooses files by name,
and only those are made; --odd-files keeps them and the answers.
"""
import concurrent.futures
import dataclasses
import json
import pathlib
import shlex
import struct
import subprocess
import zlib

import pytest

import needs
from odd_files import (
    by_ffmpeg,
    changed_matroska,
    changed_mp4,
    changed_ogg,
    changed_samples,
    changed_streams,
    comparing,
    making,
)

MODEL = "tiny.en"
AT_A_TIME = 8  # files that are sent; two are made at a time
SETTINGS = {"with_ffmpeg": {}, "without_ffmpeg": {"AUDIO__FFMPEG": "off"}}
CHAPTERS = ";FFMETADATA1\ntitle=odd\n" + "".join(
    f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={at}\nEND={at + 4000}\ntitle=part\n" for at in (0, 4000))
SUBTITLES = "1\n00:00:01,000 --> 00:00:03,000\nodd\n\n2\n00:00:04,000 --> 00:00:06,000\nodd\n"

for register in (by_ffmpeg.register_mp4, by_ffmpeg.register_streams, by_ffmpeg.register_ogg_and_matroska,
                 by_ffmpeg.register_samples, changed_mp4.register, changed_streams.register, changed_samples.register,
                 changed_ogg.register, changed_matroska.register):
    register()

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * 3600)]


@dataclasses.dataclass
class Files:
    """What ffmpeg says of each file that was made, why the others were not, and what was read in WAVs of ffmpeg."""
    known: dict
    not_made: dict
    texts: dict = dataclasses.field(default_factory=dict)


@pytest.fixture(scope="module")
def files(request, sample, pytestconfig, tmp_path_factory):
    """The odd files of all selected tests."""
    needs.command("ffmpeg")
    needs.command("ffprobe", "ffmpeg")
    kept = pytestconfig.getoption("--odd-files")
    making.use_folder(kept or tmp_path_factory.mktemp("odd"))
    make_ingredients(sample)
    chosen = set(names_of(request.session.items))
    return make([name for name in making.FILES if name in chosen])


def names_of(items):
    """The files of the tests of this module among these."""
    for item in items:
        if item.path == pathlib.Path(__file__):
            yield item.callspec.params["name"]


def make_ingredients(sample):
    """The speech, a picture, chapters and subtitles, of which the files are made."""
    making.ffmpeg(f"-i {shlex.quote(str(sample.resolve()))} -ac 1 -ar 16000 -c:a pcm_s16le -bitexact -y speech.wav")
    making.ffmpeg("-f lavfi -i testsrc=s=160x120:d=1 -frames:v 1 -update 1 -y cover.jpg")
    (making.folder() / "chapters.txt").write_text(CHAPTERS, encoding="utf-8")
    (making.folder() / "lines.srt").write_text(SUBTITLES, encoding="utf-8")


def make(names):
    """Makes those of the files that are not there yet, and asks ffmpeg about them."""
    sources = [source for name in names for source in making.SOURCES.get(name, [])]
    copies = [name for name in names if making.SOURCES.get(name)]
    errors = {}
    for some in (dict.fromkeys([*sources, *(name for name in names if name not in copies)]), copies):
        missing = [name for name in some if not making.made(name).exists()]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            errors |= {name: error for name, error in zip(missing, pool.map(attempt, missing)) if error}
    there = [name for name in names if making.made(name).exists() and making.made(name).stat().st_size]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return Files(dict(zip(there, pool.map(comparing.by_ffmpeg, there))), errors)


def attempt(name):
    """Makes a file; why it could not be made."""
    try:
        making.FILES[name]()
    except (RuntimeError, subprocess.CalledProcessError, ValueError, IndexError, KeyError, struct.error) as error:
        making.made(name).unlink(missing_ok=True)
        return f"{type(error).__name__}: {error}"
    return None


@pytest.fixture(scope="module", params=SETTINGS)
def answers(request, files, module_server):
    """For each file what the server reads in it, what it reads in the WAV of ffmpeg, and what ffmpeg says of it."""
    known = files.known
    if request.param == "without_ffmpeg":
        known = {name: one for name, one in known.items() if comparing.built_in(one["format"], one["codec"])}
    url = module_server(f"odd-files-{request.param}", WHISPER__MODEL=MODEL, WHISPER__COMPUTE_TYPE="int8",
                        **SETTINGS[request.param]).url
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        rows = compare(url, known, files.texts, pool)
    path = making.folder() / f"answers-{request.param}.json"
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return rows


def compare(url, known, texts, pool):
    """Sends the files, and the WAV of ffmpeg of each that does not read as the sample, unless its text is known."""
    def send(path):
        return comparing.transcribe(url, path, MODEL)

    ours = dict(zip(known, pool.map(send, [making.made(name) for name in known])))
    sample = send(making.folder() / "speech.wav")
    wavs = {name: pathlib.Path(one["wav"]) for name, one in known.items()
            if one["seconds"] and not comparing.as_sample(ours[name], sample, one)}
    keys = {name: f"{MODEL} {zlib.crc32(path.read_bytes()):08x}" for name, path in wavs.items()}
    first = {key: wavs[name] for name, key in keys.items() if key not in texts}
    texts |= dict(zip(first, pool.map(send, first.values())))
    return {name: {"ours": ours[name], "of_ffmpeg": texts[keys[name]] if name in keys else sample, "known": one}
            for name, one in known.items()}


@pytest.mark.parametrize("name", making.FILES)
def test_an_odd_file_reads_as_ffmpeg_reads_it(files, answers, request, name):
    if name not in files.known:
        pytest.skip(f"not made: {files.not_made.get(name, 'empty')}")
    if name not in answers:
        pytest.skip("docs/audio.md does not name it as read without ffmpeg")
    row = answers[name]
    assert comparing.difference(row["ours"], row["of_ffmpeg"], row["known"]) == "", row
