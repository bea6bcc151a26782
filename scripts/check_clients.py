#!/usr/bin/env python3
"""Checks a running HalkSpeech server with unmodified clients, and with the requests that programs are known to send.

usage: check_clients.py URL AUDIO SAID [--only NAME ...] [--node-modules DIR]

URL     the server, for example http://localhost:8000
AUDIO   a recording, as a 16-bit WAV; SAID are words of it
A client that is not installed is reported as skipped, and the exit status is 1 where any was skipped or failed.
Python clients: `pip install openai litellm langchain-community pydub "pipecat-ai[openai]" livekit-plugins-openai httpx`.
Node: `npm install openai` in a folder, whose node_modules is --node-modules. What was seen stands in docs/clients.md.
"""
import argparse
import array
import asyncio
import importlib.metadata
import io
import os
import subprocess
import sys
import wave

import httpx

KEY = os.environ.get("OPENAI_API_KEY") or "none"
MODEL = "whisper-1"

NODE = """
import fs from "node:fs";
import OpenAI from "openai";
const [url, path, key] = process.argv.slice(-3);
const client = new OpenAI({ baseURL: url + "/v1", apiKey: key });
const file = () => fs.createReadStream(path);
const plain = await client.audio.transcriptions.create({ model: "whisper-1", file: file() });
let streamed = "";
const stream = await client.audio.transcriptions.create({ model: "gpt-4o-transcribe", file: file(), stream: true });
for await (const event of stream) if (event.type === "transcript.text.done") streamed = event.text;
console.log(JSON.stringify([plain.text, streamed]));
"""


class Skipped(Exception):
    """The client is not installed."""


class Check:
    """What all checks share: the server, the recording, and what is said in it."""

    def __init__(self, args):
        self.url, self.audio, self.said = args.url.rstrip("/"), args.audio, args.said.lower()
        self.node_modules = args.node_modules
        with open(args.audio, "rb") as file:
            self.data = file.read()
        with wave.open(io.BytesIO(self.data)) as sound:
            self.rate, self.channels = sound.getframerate(), sound.getnchannels()
            self.pcm = sound.readframes(sound.getnframes())

    def heard(self, text):
        assert self.said in str(text).lower(), f"{self.said!r} is not in {str(text)[:200]!r}"

    def post(self, path, **kwargs):
        answer = httpx.post(self.url + path, timeout=120, headers={"Authorization": f"Bearer {KEY}"}, **kwargs)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
        return answer


def openai_python(check):
    """openai-python: json, verbose_json with words, a stream, a translation."""
    import openai
    client = openai.OpenAI(base_url=check.url + "/v1", api_key=KEY)
    create = client.audio.transcriptions.create
    file = ("a.wav", check.data)
    check.heard(create(model=MODEL, file=file).text)
    verbose = create(model=MODEL, file=file, response_format="verbose_json", timestamp_granularities=["word"])
    check.heard(verbose.text)
    assert verbose.words and verbose.words[0].end > 0
    done = [event for event in create(model="gpt-4o-transcribe", file=file, stream=True)
            if event.type == "transcript.text.done"]
    check.heard(done[0].text)
    check.heard(client.audio.translations.create(model=MODEL, file=file).text)


def openai_node(check):
    """openai-node: json and a stream."""
    if not check.node_modules:
        raise Skipped("--node-modules is not given")
    script = os.path.join(check.node_modules, "..", "check_clients.mjs")
    with open(script, "w", encoding="utf-8") as file:
        file.write(NODE)
    done = subprocess.run(["node", script, check.url, os.path.abspath(check.audio), KEY], check=False,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    import json
    for text in json.loads(done.stdout):
        check.heard(text)


def browser_page(check):
    """What a browser sends for openai-node in a page of a development server, `dangerouslyAllowBrowser` set."""
    origin = "http://localhost:5173"
    headers = "authorization,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version," \
              "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout"
    preflight = httpx.options(check.url + "/v1/audio/transcriptions", headers={
        "Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": headers,
        "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"})
    allowed = preflight.headers.get("access-control-allow-headers", "").lower()
    assert preflight.status_code == 200, preflight.text
    assert preflight.headers.get("access-control-allow-origin") in (origin, "*"), preflight.headers
    assert all(name in allowed for name in headers.split(",")), allowed
    answer = httpx.post(check.url + "/v1/audio/transcriptions", timeout=120, headers={
        "Origin": origin, "Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {KEY}"},
        data={"model": MODEL}, files={"file": ("blob", check.data, "audio/wav")})
    assert answer.headers.get("access-control-allow-origin") in (origin, "*"), answer.headers
    check.heard(answer.json()["text"])


def litellm(check):
    """LiteLLM's `transcription`, as its proxy calls it."""
    import litellm as library
    answer = library.transcription(model="openai/" + MODEL, file=("a.wav", check.data), api_base=check.url + "/v1",
                                   api_key=KEY)
    check.heard(answer.text)


def langchain(check):
    """LangChain's OpenAIWhisperParser, which cuts with pydub and sends MP3."""
    from langchain_community.document_loaders.parsers.audio import OpenAIWhisperParser
    from langchain_core.documents.base import Blob
    parser = OpenAIWhisperParser(api_key=KEY, base_url=check.url + "/v1")
    documents = list(parser.lazy_parse(Blob.from_path(check.audio)))
    check.heard(" ".join(document.page_content for document in documents))


def pipecat(check):
    """Pipecat's OpenAISTTService on one segment of speech."""
    from pipecat.services.openai.stt import OpenAISTTService

    async def run():
        service = OpenAISTTService(api_key=KEY, base_url=check.url + "/v1", model=MODEL)
        return await service._transcribe(check.data)  # what `run_stt` does with the segment, without a pipeline
    check.heard(asyncio.run(run()).text)


def livekit(check):
    """LiveKit's openai.STT on one buffer of speech."""
    from livekit import rtc
    from livekit.plugins import openai as plugin

    async def run():
        engine = plugin.STT(base_url=check.url + "/v1", api_key=KEY, model=MODEL)
        frame = rtc.AudioFrame(check.pcm, check.rate, check.channels, len(check.pcm) // 2 // check.channels)
        return await engine.recognize([frame])
    check.heard(asyncio.run(run()).alternatives[0].text)


def open_webui(check):
    """Open WebUI with the engine "openai"."""
    answer = check.post("/v1/audio/transcriptions", data={"model": MODEL},
                        files={"file": ("a.wav", check.data, "audio/wav")})
    check.heard(answer.json()["text"])


def home_assistant(check):
    """Home Assistant's integrations for OpenAI's speech to text: WAV made on the way, a language tag, a prompt."""
    answer = check.post("/v1/audio/transcriptions", files={"file": ("audio.wav", check.data, "audio/wav")}, data={
        "model": "gpt-4o-mini-transcribe", "language": "en", "prompt": "", "temperature": "0",
        "response_format": "json"})
    check.heard(answer.json()["text"])


def bazarr(check):
    """Bazarr's Whisper provider: 16-bit samples without a header, language first, then subtitles."""
    samples = array.array("h", check.pcm)[::check.channels]
    assert check.rate == 16_000, "the recording has another rate than 16 kHz"
    file = {"audio_file": samples.tobytes()}
    found = check.post("/detect-language", params={"encode": "false"}, files=file).json()
    assert len(found["language_code"]) == 2 and found["detected_language"], found
    subtitles = check.post("/asr", files=file, params={
        "task": "transcribe", "language": found["language_code"], "output": "srt", "encode": "false"}).text
    assert subtitles.startswith("1\n00:00:0") and " --> " in subtitles, subtitles[:100]
    check.heard(" ".join(subtitles.split("\n")))


def speakr(check):
    """Speakr and others of whisper-asr-webservice's callers: an encoded file, JSON out."""
    answer = check.post("/asr", files={"audio_file": ("a.wav", check.data, "audio/wav")}, params={
        "task": "transcribe", "output": "json", "encode": "true", "word_timestamps": "true", "vad_filter": "true"})
    found = answer.json()
    check.heard(found["text"])
    assert found["segments"][0]["end"] > 0 and found["language"], found


def whisper_cpp(check):
    """Callers of whisper.cpp's server."""
    answer = check.post("/inference", files={"file": ("a.wav", check.data, "audio/wav")}, data={
        "temperature": "0.0", "temperature_inc": "0.2", "response_format": "json"})
    check.heard(answer.json()["text"])


# Name, check, the package whose version is shown.
CLIENTS = [("openai-python", openai_python, "openai"), ("openai-node", openai_node, None),
           ("browser page", browser_page, None), ("LiteLLM", litellm, "litellm"),
           ("LangChain", langchain, "langchain-community"), ("Pipecat", pipecat, "pipecat-ai"),
           ("LiveKit", livekit, "livekit-plugins-openai"), ("Open WebUI", open_webui, None),
           ("Home Assistant", home_assistant, None), ("Bazarr", bazarr, None), ("Speakr", speakr, None),
           ("whisper.cpp", whisper_cpp, None)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("audio")
    parser.add_argument("said")
    parser.add_argument("--only", nargs="+", default=[], choices=[name for name, _, _ in CLIENTS])
    parser.add_argument("--node-modules")
    args = parser.parse_args()
    check, bad = Check(args), 0
    for name, run, package in CLIENTS:
        if args.only and name not in args.only:
            continue
        try:
            version = importlib.metadata.version(package) if package else ""
            run(check)
            outcome = "ok"
        except (ImportError, importlib.metadata.PackageNotFoundError, Skipped) as error:
            outcome, version, bad = f"SKIPPED: {error}", "", bad + 1
        except Exception as error:  # whatever a client raises is what is wanted to be seen
            outcome, bad = f"FAILED: {type(error).__name__}: {str(error)[:400]}", bad + 1
        print(f"{name:15} {version:10} {outcome}", flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
