"""Decodes a file with ffmpeg, transcribes it with a server, and compares the results."""
import json
import subprocess
import urllib.error
import urllib.request
import wave

from odd_files import generate
from word_errors import edits, units

RATE_HZ = 16_000
# Limits within which two results are equal.
MAX_DURATION_DIFFERENCE_S, MAX_WORD_DIFFERENCE, MAX_START_DIFFERENCE_S = 0.1, 1, 0.5


def decode_with_ffmpeg(name):
    """Decodes a file; returns the WAV, its seconds, and the duration, format and codec according to ffprobe."""
    source = generate.generated_path(name)
    wav, cache = (generate.folder() / "ffmpeg" / f"{name}.{suffix}" for suffix in ("wav", "json"))
    if cache.exists() and cache.stat().st_mtime >= source.stat().st_mtime:
        return json.loads(cache.read_text(encoding="utf-8"))
    if not wav.exists() or wav.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", source, "-vn", "-af",
                        "aresample=async=1:first_pts=0", "-ar", str(RATE_HZ), "-ac", "1", "-c:a", "pcm_s16le", "-y",
                        wav], capture_output=True, check=False)
    seconds = 0.0
    if wav.exists() and wav.stat().st_size > 44:
        with wave.open(str(wav)) as file:
            seconds = file.getnframes() / RATE_HZ
    probe = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "a", "-show_entries",
                            "format=duration,format_name:stream=codec_name", "-of", "json", source],
                           capture_output=True, text=True, check=False)
    info = json.loads(probe.stdout or "{}")
    container = info.get("format", {})
    reference = {"wav": str(wav), "seconds": seconds, "shown": float(container.get("duration", "nan")),
                 "format": container.get("format_name", "?"),
                 "codec": (info.get("streams") or [{}])[0].get("codec_name", "?")}
    cache.write_text(json.dumps(reference), encoding="utf-8")
    return reference


def is_built_in(form, codec):
    """Whether docs/audio.md lists a format as decoded without ffmpeg."""
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
    """Sends a file as a form; returns the duration, the text and the start of the first segment, or the error."""
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
            body = json.load(response)
    except urllib.error.HTTPError as error:
        return {"error": f"{error.code} {error.read().decode(errors='replace')[:300]}"}
    except OSError as error:
        return {"error": repr(error)}
    segments = body.get("segments") or []
    return {"seconds": body["duration"], "text": body["text"], "start": segments[0]["start"] if segments else None}


def matches_sample(server_result, sample, reference):
    """Whether both decoders gave the length and the server the words of the sample; if so, ffmpeg's WAV is not sent."""
    return ("error" not in server_result and abs(reference["seconds"] - sample["seconds"]) < 0.3 and
            abs(server_result["seconds"] - reference["seconds"]) <= MAX_DURATION_DIFFERENCE_S and
            units(server_result["text"], "en") == units(sample["text"], "en"))


def difference(server_result, ffmpeg_result, reference):
    """The differences between the server's results for a file and for ffmpeg's WAV of it; empty if there are none."""
    if "error" in server_result:
        return "refused" if reference["seconds"] else ""
    if not reference["seconds"]:
        return "only the server decodes it"
    found = []
    if abs(server_result["seconds"] - reference["seconds"]) > MAX_DURATION_DIFFERENCE_S:
        found.append("duration")
    if edits(units(ffmpeg_result.get("text", ""), "en"), units(server_result["text"], "en")) > MAX_WORD_DIFFERENCE:
        found.append("words")
    elif server_result["start"] is not None and ffmpeg_result.get("start") is not None \
            and abs(server_result["start"] - ffmpeg_result["start"]) > MAX_START_DIFFERENCE_S:
        found.append("start")
    return ", ".join(found)
