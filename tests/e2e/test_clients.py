"""Unmodified clients, and the requests that known programs send, get the words of the sample.

docs/clients.md lists the tested versions. With --url a running server is used.
"""
import array
import asyncio
import io
import json
import os
import pathlib
import subprocess
import urllib.parse
import wave

import httpx
import pytest

import browser
import needs
from speech import ENDING

CLIENTS = pathlib.Path(__file__).parent / "clients"
KEY = os.environ.get("OPENAI_API_KEY") or "none"
MODEL = "whisper-1"
# The origin of a page of a development server.
ORIGIN = "http://localhost:5173"
SDK_HEADERS = ("authorization,x-stainless-arch,x-stainless-lang,x-stainless-os,x-stainless-package-version,"
               "x-stainless-retry-count,x-stainless-runtime,x-stainless-runtime-version,x-stainless-timeout")
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


@pytest.fixture(scope="module")
def url(pytestconfig, request):
    """The address that --url names, else that of a server without a key."""
    named = pytestconfig.getoption("--url")
    if named:
        return named.rstrip("/")
    return request.getfixturevalue("module_server")("clients", WHISPER__MODEL="base").url


@pytest.fixture(scope="module")
def audio(sample):
    return sample.read_bytes()


@pytest.fixture(scope="module")
def sound(audio):
    """The sample as 16-bit samples, its rate and its channels."""
    with wave.open(io.BytesIO(audio)) as file:
        return file.readframes(file.getnframes()), file.getframerate(), file.getnchannels()


@pytest.fixture(scope="module")
def post(url):
    """Sends a request that must be answered with 200."""
    def send(path, **kwargs):
        answer = httpx.post(url + path, timeout=120, headers={"Authorization": f"Bearer {KEY}"}, **kwargs)
        assert answer.status_code == 200, answer.text
        return answer

    return send


def client_module(name):
    return needs.module(name, "clients", "requirements-clients.txt")


def assert_transcribed(text):
    assert ENDING in str(text).lower()


def assert_streamed(deltas, done):
    """The deltas of a stream are the text of its last event, whose usage counts tokens."""
    assert deltas == done["text"]
    assert_transcribed(done["text"])
    assert done["usage"]["total_tokens"] > 0


def test_openai_python(url, audio):
    """json, verbose_json with words, a stream, a translation."""
    client = needs.module("openai").OpenAI(base_url=url + "/v1", api_key=KEY)
    create, file = client.audio.transcriptions.create, ("a.wav", audio)
    assert_transcribed(create(model=MODEL, file=file).text)
    verbose = create(model=MODEL, file=file, response_format="verbose_json", timestamp_granularities=["word"])
    assert_transcribed(verbose.text)
    assert verbose.words
    assert verbose.words[0].end > 0
    result = [event for event in create(model="gpt-4o-transcribe", file=file, stream=True)
              if event.type == "transcript.text.done"]
    assert_transcribed(result[0].text)
    assert_transcribed(client.audio.translations.create(model=MODEL, file=file).text)


@pytest.fixture(scope="module")
def node_modules(pytestconfig):
    """The folder that --node-modules names."""
    folder = pytestconfig.getoption("--node-modules")
    if not folder:
        needs.missing("node", "--node-modules is missing: `npm install openai esbuild` creates it in a folder")
    return os.path.abspath(folder)


def test_openai_node(url, sample, node_modules):
    """json and a stream."""
    script = os.path.join(node_modules, "..", "halkspeech_client.mjs")
    with open(script, "w", encoding="utf-8") as file:
        file.write(NODE)
    try:
        result = subprocess.run([needs.command("node"), script, url, sample, KEY], check=False, capture_output=True,
                                text=True, timeout=120)
    finally:
        os.remove(script)
    assert result.returncode == 0, result.stderr[-500:]
    for text in json.loads(result.stdout):
        assert_transcribed(text)


@pytest.fixture(scope="module")
def answers_in_a_page(node_modules, audio):
    """What clients/page.mjs gets in Chromium from the server at an address."""
    chromium = needs.command("chromium")
    bundler = needs.existing(pathlib.Path(node_modules, ".bin", "esbuild"), "node", "run `npm install esbuild`")
    script = subprocess.run([bundler, CLIENTS / "page.mjs", "--bundle", "--format=esm", "--log-level=warning"],
                            check=True, stdout=subprocess.PIPE, env=os.environ | {"NODE_PATH": node_modules}).stdout

    def answers(url, key=KEY):
        query = urllib.parse.urlencode({"url": url, "key": key})
        return json.loads(browser.result_of(chromium, script, {"/sample.wav": audio}, query))

    return answers


def test_openai_node_in_a_browser(url, answers_in_a_page):
    """json, verbose_json with words, a stream and a refusal, in a page of another origin."""
    answers = answers_in_a_page(url)
    assert "error" not in answers
    assert answers["origin"].startswith("http://localhost:")
    assert_transcribed(answers["json"]["text"])
    assert answers["requestId"], "the page may read the header x-request-id"
    assert_transcribed(answers["verbose"]["text"])
    assert answers["verbose"]["words"][0]["end"] > 0
    assert_streamed("".join(event.get("delta", "") for event in answers["events"]), answers["events"][-1])
    refusal = answers["refusal"]
    assert (refusal["status"], refusal["code"]) == (404, "model_not_found")
    assert refusal["requestId"]


def test_a_page_may_not_read_the_answers_of_a_server_with_a_key(server, answers_in_a_page):
    """Chromium hides them from pages of origins that ALLOW_ORIGINS does not list."""
    key = "key of the page"
    url = server(WHISPER__MODEL="tiny.en", API_KEY=key).url
    assert "Connection error" in answers_in_a_page(url, key)["error"]


def test_async_openai(url, sample, pytestconfig):
    """json, verbose_json with words, a stream and a refusal, in the types of the Rust crate."""
    program = pytestconfig.getoption("--async-openai")
    if not program:
        needs.missing("async-openai", "--async-openai is missing: `cargo build --release --locked --manifest-path "
                                      "tests/e2e/clients/async-openai/Cargo.toml` makes the program")
    result = subprocess.run([program, url, sample, KEY], check=False, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-500:]
    answers = json.loads(result.stdout)
    assert_transcribed(answers["json"]["text"])
    assert_transcribed(answers["verbose_json"]["text"])
    assert answers["verbose_json"]["words"][0]["end"] > 0
    assert_streamed(answers["deltas"], answers["done"])
    assert "model_not_found" in answers["refusal"]


def test_the_preflight_of_a_page(url):
    """The preflight of openai-node in a page, with `dangerouslyAllowBrowser`."""
    preflight = httpx.options(url + "/v1/audio/transcriptions", headers={
        "Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": SDK_HEADERS,
        "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"})
    allowed = preflight.headers.get("access-control-allow-headers", "").lower()
    assert preflight.status_code == 200, preflight.text
    assert preflight.headers.get("access-control-allow-origin") in (ORIGIN, "*")
    assert all(name in allowed for name in SDK_HEADERS.split(",")), allowed


def test_the_request_of_a_page(url, audio):
    answer = httpx.post(url + "/v1/audio/transcriptions", timeout=120, headers={
        "Origin": ORIGIN, "Sec-Fetch-Site": "cross-site", "Authorization": f"Bearer {KEY}"},
        data={"model": MODEL}, files={"file": ("blob", audio, "audio/wav")})
    assert answer.headers.get("access-control-allow-origin") in (ORIGIN, "*")
    assert_transcribed(answer.json()["text"])


def test_litellm(url, audio):
    """LiteLLM's `transcription`, as its proxy calls it."""
    answer = client_module("litellm").transcription(model="openai/" + MODEL, file=("a.wav", audio),
                                                    api_base=url + "/v1", api_key=KEY)
    assert_transcribed(answer.text)


def test_langchain(url, sample):
    """LangChain's OpenAIWhisperParser, which cuts with pydub and sends MP3."""
    parsers = client_module("langchain_community.document_loaders.parsers.audio")
    blobs = client_module("langchain_core.documents.base")
    client_module("pydub")
    needs.command("ffmpeg")
    parser = parsers.OpenAIWhisperParser(api_key=KEY, base_url=url + "/v1")
    documents = list(parser.lazy_parse(blobs.Blob.from_path(str(sample))))
    assert_transcribed(" ".join(document.page_content for document in documents))


def test_pipecat(url, audio):
    """Pipecat's OpenAISTTService on one segment of speech."""
    stt = client_module("pipecat.services.openai.stt")

    async def run():
        service = stt.OpenAISTTService(api_key=KEY, base_url=url + "/v1", model=MODEL)
        return await service._transcribe(audio)  # as `run_stt` does, without a pipeline

    assert_transcribed(asyncio.run(run()).text)


def test_livekit(url, sound):
    """LiveKit's openai.STT on one buffer of speech."""
    rtc, plugin = client_module("livekit.rtc"), client_module("livekit.plugins.openai")
    pcm, rate, channels = sound

    async def run():
        engine = plugin.STT(base_url=url + "/v1", api_key=KEY, model=MODEL)
        return await engine.recognize([rtc.AudioFrame(pcm, rate, channels, len(pcm) // 2 // channels)])

    assert_transcribed(asyncio.run(run()).alternatives[0].text)


def test_open_webui(post, audio):
    """Open WebUI with the engine "openai"."""
    answer = post("/v1/audio/transcriptions", data={"model": MODEL}, files={"file": ("a.wav", audio, "audio/wav")})
    assert_transcribed(answer.json()["text"])


def test_home_assistant(post, audio):
    """Home Assistant's integrations for OpenAI's speech to text: a language tag, an empty prompt."""
    answer = post("/v1/audio/transcriptions", files={"file": ("audio.wav", audio, "audio/wav")}, data={
        "model": "gpt-4o-mini-transcribe", "language": "en", "prompt": "", "temperature": "0",
        "response_format": "json"})
    assert_transcribed(answer.json()["text"])


def test_bazarr(post, sound):
    """Bazarr's Whisper provider: 16-bit samples without a header, language first, then subtitles."""
    pcm, rate, channels = sound
    assert rate == 16_000, "the sample has another rate"
    file = {"audio_file": array.array("h", pcm)[::channels].tobytes()}
    found = post("/detect-language", params={"encode": "false"}, files=file).json()
    assert len(found["language_code"]) == 2
    assert found["detected_language"]
    subtitles = post("/asr", files=file, params={
        "task": "transcribe", "language": found["language_code"], "output": "srt", "encode": "false"}).text
    assert subtitles.startswith("1\n00:00:0")
    assert " --> " in subtitles
    assert_transcribed(" ".join(" ".join(cue.content.split()) for cue in needs.module("srt").parse(subtitles)))


def test_speakr(post, audio):
    """Speakr and other clients of whisper-asr-webservice: an encoded file, JSON out."""
    found = post("/asr", files={"audio_file": ("a.wav", audio, "audio/wav")}, params={
        "task": "transcribe", "output": "json", "encode": "true", "word_timestamps": "true",
        "vad_filter": "true"}).json()
    assert_transcribed(found["text"])
    assert found["segments"][0]["end"] > 0
    assert found["language"]


def test_whisper_cpp(post, audio):
    """Callers of whisper.cpp's server."""
    answer = post("/inference", files={"file": ("a.wav", audio, "audio/wav")}, data={
        "temperature": "0.0", "temperature_inc": "0.2", "response_format": "json"})
    assert_transcribed(answer.json()["text"])
