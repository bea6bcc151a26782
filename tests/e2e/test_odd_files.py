"""Odd sound files of one speech sample: a server decodes them as ffmpeg does.

Each file is sent, and so is ffmpeg's WAV of it, unless length and words are those of the sample. A file is equal
if the server's duration is within 0.1 s of that of the WAV, its text is at most one word away, and its first
segment begins within 0.5 s of the WAV's. The same without ffmpeg for formats that docs/audio.md lists as built in.

Needs ffmpeg and ffprobe with the usual encoders: a file whose encoder is missing is skipped. `-k` selects files by
name, and only those are made; --odd-files keeps them and the results.
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
    changed_matroska,
    changed_mp4,
    changed_ogg,
    changed_samples,
    changed_streams,
    compare,
    ffmpeg_files,
    generate,
)

MODEL = "tiny.en"
CONCURRENCY = 8  # files that are sent concurrently; two are made at a time
SETTINGS = {"with_ffmpeg": {}, "without_ffmpeg": {"AUDIO__FFMPEG": "off"}}
CHAPTERS = ";FFMETADATA1\ntitle=odd\n" + "".join(
    f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={at}\nEND={at + 4000}\ntitle=part\n" for at in (0, 4000))
SUBTITLES = "1\n00:00:01,000 --> 00:00:03,000\nodd\n\n2\n00:00:04,000 --> 00:00:06,000\nodd\n"

for register in (ffmpeg_files.register_mp4, ffmpeg_files.register_streams, ffmpeg_files.register_ogg_and_matroska,
                 ffmpeg_files.register_samples, changed_mp4.register, changed_streams.register,
                 changed_samples.register, changed_ogg.register, changed_matroska.register):
    register()

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * 3600)]


@dataclasses.dataclass
class Files:
    """By name, ffmpeg's result for each file, or the error that prevented it; and the server's results for WAVs."""
    references: dict
    errors: dict
    results: dict = dataclasses.field(default_factory=dict)


@pytest.fixture(scope="module")
def files(request, sample, pytestconfig, tmp_path_factory):
    """The odd files of all selected tests."""
    needs.command("ffmpeg")
    needs.command("ffprobe", "ffmpeg")
    kept = pytestconfig.getoption("--odd-files")
    generate.use_folder(kept or tmp_path_factory.mktemp("odd"))
    make_ingredients(sample)
    chosen = set(names_of(request.session.items))
    return make([name for name in generate.FILES if name in chosen])


def names_of(items):
    """The names of the files of this module's tests."""
    for item in items:
        if item.path == pathlib.Path(__file__):
            yield item.callspec.params["name"]


def make_ingredients(sample):
    """The speech, a picture, chapters and subtitles, from which the files are made."""
    generate.ffmpeg(f"-i {shlex.quote(str(sample.resolve()))} -ac 1 -ar 16000 -c:a pcm_s16le -bitexact -y speech.wav")
    generate.ffmpeg("-f lavfi -i testsrc=s=160x120:d=1 -frames:v 1 -update 1 -y cover.jpg")
    (generate.folder() / "chapters.txt").write_text(CHAPTERS, encoding="utf-8")
    (generate.folder() / "lines.srt").write_text(SUBTITLES, encoding="utf-8")


def make(names):
    """Makes the missing files, and decodes all with ffmpeg."""
    sources = [source for name in names for source in generate.SOURCES.get(name, [])]
    copies = [name for name in names if generate.SOURCES.get(name)]
    errors = {}
    for group in (dict.fromkeys([*sources, *(name for name in names if name not in copies)]), copies):
        missing = [name for name in group if not generate.generated_path(name).exists()]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            errors |= {name: error for name, error in zip(missing, pool.map(attempt, missing)) if error}
    paths = {name: generate.generated_path(name) for name in names}
    there = [name for name, path in paths.items() if path.exists() and path.stat().st_size]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return Files(dict(zip(there, pool.map(compare.decode_with_ffmpeg, there))), errors)


def attempt(name):
    """Makes a file; returns the error, if any."""
    try:
        generate.FILES[name]()
    except (RuntimeError, subprocess.CalledProcessError, ValueError, IndexError, KeyError, struct.error) as error:
        generate.generated_path(name).unlink(missing_ok=True)
        return f"{type(error).__name__}: {error}"
    return None


@pytest.fixture(scope="module", params=SETTINGS)
def answers(request, files, module_server):
    """For each file the server's result, its result for ffmpeg's WAV, and ffmpeg's result."""
    references = files.references
    if request.param == "without_ffmpeg":
        references = {name: one for name, one in references.items() if compare.is_built_in(one["format"], one["codec"])}
    url = module_server(f"odd-files-{request.param}", WHISPER__MODEL=MODEL, WHISPER__COMPUTE_TYPE="int8",
                        **SETTINGS[request.param]).url
    with concurrent.futures.ThreadPoolExecutor(CONCURRENCY) as pool:
        rows = compare_all(url, references, files.results, pool)
    path = generate.folder() / f"answers-{request.param}.json"
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return rows


def compare_all(url, references, results, pool):
    """Sends the files, and ffmpeg's WAV of each that differs from the sample, unless its result is in `results`."""
    def send(path):
        return compare.transcribe(url, path, MODEL)

    paths = [generate.generated_path(name) for name in references]
    server_results = dict(zip(references, pool.map(send, paths)))
    sample = send(generate.folder() / "speech.wav")
    wavs = {name: pathlib.Path(one["wav"]) for name, one in references.items()
            if one["seconds"] and not compare.matches_sample(server_results[name], sample, one)}
    keys = {name: f"{MODEL} {zlib.crc32(path.read_bytes()):08x}" for name, path in wavs.items()}
    first = {key: wavs[name] for name, key in keys.items() if key not in results}
    results |= dict(zip(first, pool.map(send, first.values())))
    return {name: {"server": server_results[name], "ffmpeg": results[keys[name]] if name in keys else sample,
                   "reference": one} for name, one in references.items()}


@pytest.mark.parametrize("name", generate.FILES)
def test_an_odd_file_is_decoded_as_by_ffmpeg(files, answers, request, name):
    if name not in files.references:
        pytest.skip(f"not made: {files.errors.get(name, 'empty')}")
    if name not in answers:
        pytest.skip("docs/audio.md does not list it as decoded without ffmpeg")
    row = answers[name]
    assert compare.difference(row["server"], row["ffmpeg"], row["reference"]) == "", row
