"""What ffmpeg reads in a file, what a server reads in it, and what differs."""
import json
import subprocess
import urllib.error
import urllib.request
import wave

from odd_files import making
from word_errors import edits, units

RATE_HZ = 16_000
# Of two answers that are equal.
MOST_SECONDS_APART, MOST_WORDS_APART, MOST_START_APART_S = 0.1, 1, 0.5


def by_ffmpeg(name):
    """What ffmpeg makes of a file: the WAV, its seconds, the duration it shows, format and codec."""
    source = making.made(name)
    wav, kept = (making.folder() / "ffmpeg" / f"{name}.{suffix}" for suffix in ("wav", "json"))
    if kept.exists() and kept.stat().st_mtime >= source.stat().st_mtime:
        return json.loads(kept.read_text(encoding="utf-8"))
    if not wav.exists() or wav.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", source, "-vn", "-af",
                        "aresample=async=1:first_pts=0", "-ar", str(RATE_HZ), "-ac", "1", "-c:a", "pcm_s16le", "-y",
                        wav], capture_output=True, check=False)
    seconds = 0.0
    if wav.exists() and wav.stat().st_size > 44:
        with wave.open(str(wav)) as file:
            seconds = file.getnframes() / RATE_HZ
    shown = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "a", "-show_entries",
                            "format=duration,format_name:stream=codec_name", "-of", "json", source],
                           capture_output=True, text=True, check=False)
    told = json.loads(shown.stdout or "{}")
    form = told.get("format", {})
    known = {"wav": str(wav), "seconds": seconds, "shown": float(form.get("duration", "nan")),
             "format": form.get("format_name", "?"),
             "codec": (told.get("streams") or [{}])[0].get("codec_name", "?")}
    kept.write_text(json.dumps(known), encoding="utf-8")
    return known


def built_in(form, codec):
    """Whether docs/audio.md names a format as read without ffmpeg."""
    plain = codec.startswith(("pcm_", "adpcm_")) and codec not in ("pcm_dvd", "pcm_bluray")
    if form in ("wav", "w64", "aiff", "au", "caf"):
        return plain
    if form in ("mp3", "flac", "aac"):
        return form == codec
    if form.startswith("mov,"):
        return codec in ("aac", "alac")
    if form == "ogg":
        return codec in ("opus", "vorbis", "flac")
    return form.startswith("matroska") and codec in ("opus", "vorbis", "mp3", "aac", "flac")


def transcribe(url, path, model):
    """Sends a file as a form, as callers do; its seconds, text and start of the first segment, or the error."""
    edge = "odd-files-boundary"
    fields = {"model": model, "language": "en", "response_format": "verbose_json", "beam_size": "1", "temperature": "0"}
    body = "".join(f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                   for name, value in fields.items()).encode()
    try:
        body += (f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
                 "Content-Type: application/octet-stream\r\n\r\n").encode() + path.read_bytes() \
            + f"\r\n--{edge}--\r\n".encode()
        request = urllib.request.Request(url + "/v1/audio/transcriptions", body,
                                         {"Content-Type": f"multipart/form-data; boundary={edge}"})
        with urllib.request.urlopen(request, timeout=300) as response:
            told = json.load(response)
    except urllib.error.HTTPError as error:
        return {"error": f"{error.code} {error.read().decode(errors='replace')[:300]}"}
    except OSError as error:
        return {"error": repr(error)}
    segments = told.get("segments") or []
    return {"seconds": told["duration"], "text": told["text"], "start": segments[0]["start"] if segments else None}


def as_sample(ours, sample, known):
    """Whether a file gave the words and the length of the sample to both: then the WAV of ffmpeg is not transcribed."""
    return ("error" not in ours and abs(known["seconds"] - sample["seconds"]) < 0.3 and
            abs(ours["seconds"] - known["seconds"]) <= MOST_SECONDS_APART and
            units(ours["text"], "en") == units(sample["text"], "en"))


def difference(ours, theirs, known):
    """What differs between the server's answers to a file and to the WAV of ffmpeg, in words; empty if nothing does."""
    if "error" in ours:
        return "refused" if known["seconds"] else ""
    if not known["seconds"]:
        return "only ours reads it"
    found = []
    if abs(ours["seconds"] - known["seconds"]) > MOST_SECONDS_APART:
        found.append("duration")
    if edits(units(theirs.get("text", ""), "en"), units(ours["text"], "en")) > MOST_WORDS_APART:
        found.append("words")
    elif ours["start"] is not None and theirs.get("start") is not None \
            and abs(ours["start"] - theirs["start"]) > MOST_START_APART_S:
        found.append("start")
    return ", ".join(found)
