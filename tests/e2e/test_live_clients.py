"""Unmodified clients of OpenAI's realtime socket and of the simple stream get the words of the sample.

docs/clients.md lists the tested versions. OpenAI's Python SDK is in test_live.py, Home Assistant's other protocol in
test_wyoming.py.
"""
import asyncio
import base64
import json
import os
import pathlib
import subprocess
import urllib.parse
import wave

import aiohttp
import pytest

import needs
from speech import ENDING, chunks, resampled
from tls_proxy import certificate, tls_proxy

CLIENTS = pathlib.Path(__file__).parent / "clients"
KEY = "key of the live clients"
WAIT_S = 60
RATE = 24_000  # of samples where a client names no other
SILENCE_S = 1.5  # ends a turn


@pytest.fixture(scope="module")
def url(module_server):
    return module_server("live_clients", WHISPER__MODEL="base", API_KEY=KEY, LIVE__MAX_SESSIONS=8).url


@pytest.fixture(scope="module")
def speech(sample):
    """The sample as 16-bit samples at 16 kHz."""
    with wave.open(str(sample)) as file:
        return file.readframes(file.getnframes())


@pytest.fixture(scope="module")
def spoken(speech):
    """The sample at 24 kHz, and silence that ends its last turn."""
    return resampled(speech, RATE) + bytes(int(2 * RATE * SILENCE_S))


def client_module(name):
    return needs.module(name, "clients", "requirements-clients.txt")


def assert_transcribed(text):
    assert ENDING in " ".join(text.split()).lower()


def test_openai_node_behind_tls(url, spoken, tmp_path, pytestconfig):
    """OpenAIRealtimeWS, which speaks TLS only; a proxy ends it."""
    folder = pytestconfig.getoption("--node-modules")
    if not folder:
        needs.missing("node", "--node-modules is missing: `npm install openai ws` creates it in a folder")
    needs.existing(pathlib.Path(folder, "ws"), "node", "run `npm install ws`")
    pem = certificate(tmp_path, needs.command("openssl", "node"))
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(spoken)
    # Node finds packages next to the script.
    script = tmp_path / "realtime.mjs"
    script.write_bytes((CLIENTS / "realtime.mjs").read_bytes())
    os.symlink(os.path.abspath(folder), tmp_path / "node_modules")
    with tls_proxy(urllib.parse.urlsplit(url).port, pem) as address:
        environment = os.environ | {"NODE_EXTRA_CA_CERTS": str(pem)}
        result = subprocess.run([needs.command("node"), script, address, path, KEY], check=False,
                                capture_output=True, text=True, timeout=120, env=environment)
    assert result.returncode == 0, result.stderr[-1000:]
    answer = json.loads(result.stdout)
    assert answer["types"][:2] == ["session.created", "session.updated"]
    assert_transcribed(answer["text"])
    assert answer["deltas"]


def test_livekit(url, speech):
    """LiveKit's openai.STT with use_realtime, in frames of 10 ms as a room gives them."""
    rtc, plugin = client_module("livekit.rtc"), client_module("livekit.plugins.openai")
    http_context = client_module("livekit.agents.utils.http_context")
    stt = client_module("livekit.agents.stt")
    sound = speech + bytes(int(2 * 16_000 * SILENCE_S))

    async def run():
        engine = plugin.STT(base_url=f"{url}/v1", api_key=KEY, model="whisper-1", language="en", use_realtime=True)
        finals, kinds = [], set()
        async with http_context.open(), engine.stream() as stream:
            for chunk in chunks(sound, 320):
                stream.push_frame(rtc.AudioFrame(chunk, 16_000, 1, len(chunk) // 2))
            stream.flush()
            async for event in stream:
                kinds.add(event.type)
                if event.type == stt.SpeechEventType.FINAL_TRANSCRIPT:
                    finals.append(event.alternatives[0])
                    if ENDING in finals[-1].text.lower():
                        break
        await engine.aclose()
        return finals, kinds

    finals, kinds = asyncio.run(asyncio.wait_for(run(), WAIT_S))
    assert_transcribed(" ".join(final.text for final in finals))
    assert finals[0].language == "en"
    assert {stt.SpeechEventType.START_OF_SPEECH, stt.SpeechEventType.END_OF_SPEECH} <= kinds


def test_pipecat(url, speech):
    """Pipecat's OpenAIRealtimeSTTService in a pipeline whose own detector ends the turn."""
    frames = client_module("pipecat.frames.frames")
    processors = client_module("pipecat.processors.frame_processor")
    service = client_module("pipecat.services.openai.stt").OpenAIRealtimeSTTService
    pipelines, workers = client_module("pipecat.pipeline.pipeline"), client_module("pipecat.pipeline.worker")
    runners = client_module("pipecat.workers.runner")

    class Texts(processors.FrameProcessor):
        """Ends the pipeline at the first final text."""

        def __init__(self):
            super().__init__()
            self.final = asyncio.Queue()

        async def process_frame(self, frame, direction):
            await super().process_frame(frame, direction)
            if isinstance(frame, (frames.TranscriptionFrame, frames.ErrorFrame)):
                await self.final.put(frame)
            await self.push_frame(frame, direction)

    async def run():
        stt = service(api_key=KEY, base_url=f"{url.replace('http', 'ws', 1)}/v1/realtime",
                      settings=service.Settings(model="whisper-1"))
        texts = Texts()
        parameters = workers.PipelineParams(audio_in_sample_rate=16_000)
        worker = workers.PipelineWorker(pipelines.Pipeline([stt, texts]), params=parameters)
        runner = runners.WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)

        async def speak():
            # The service configures its session when the server has greeted it.
            while not stt._session_ready:
                await asyncio.sleep(0.01)
            await worker.queue_frame(frames.VADUserStartedSpeakingFrame())
            for chunk in chunks(speech, 640):
                await worker.queue_frame(frames.InputAudioRawFrame(chunk, 16_000, 1))
            await worker.queue_frame(frames.VADUserStoppedSpeakingFrame())
            frame = await texts.final.get()
            await worker.queue_frame(frames.EndFrame())
            return frame

        _, frame = await asyncio.gather(runner.run(), speak())
        return frame

    frame = asyncio.run(asyncio.wait_for(run(), WAIT_S))
    assert isinstance(frame, frames.TranscriptionFrame), frame
    assert_transcribed(frame.text)


def test_home_assistant(url, spoken):
    """The requests of Home Assistant's openai_stt with `realtime: true`: all audio, then a commit; empty fields."""
    async def run():
        headers = {"Authorization": f"Bearer {KEY}", "OpenAI-Beta": "realtime=v1"}
        async with (aiohttp.ClientSession() as session,
                    session.ws_connect(f"{url}/v1/realtime?intent=transcription", headers=headers,
                                       heartbeat=30) as socket):
            await socket.send_json({"type": "transcription_session.update", "session": {
                "input_audio_format": "pcm16",
                "input_audio_transcription": {"model": "gpt-4o-mini-transcribe", "prompt": "", "language": "en"},
                "turn_detection": {"type": "server_vad"},
                "input_audio_noise_reduction": None,
            }})
            for chunk in chunks(spoken, 2048):
                audio = base64.b64encode(chunk).decode()
                await socket.send_json({"type": "input_audio_buffer.append", "audio": audio})
            await socket.send_json({"type": "input_audio_buffer.commit"})
            texts = []
            while ENDING not in " ".join(texts).lower():
                event = await socket.receive_json(timeout=WAIT_S)
                assert event["type"] != "error", event
                if event["type"].endswith(".completed"):
                    texts.append(event["transcript"])
            return texts
    assert_transcribed(" ".join(asyncio.run(run())))


def test_websockets(url, speech):
    """The program of docs/live.md for the simple stream, with the package websockets."""
    websockets = client_module("websockets")

    async def run():
        query = "model=whisper-1&language=en"
        address = f"{url.replace('http', 'ws', 1)}/v1/audio/transcriptions/stream?{query}"
        headers = {"Authorization": f"Bearer {KEY}"}
        async with websockets.connect(address, additional_headers=headers) as socket:
            for chunk in chunks(speech, 3_200):
                await socket.send(chunk)
            await socket.send(json.dumps({"type": "audio.done"}))
            return [json.loads(message) async for message in socket]
    messages = asyncio.run(run())
    assert messages[0]["type"] == "ready"
    assert [message["type"] for message in messages].count("transcript.final") == 1
    assert_transcribed(messages[-1]["text"])
