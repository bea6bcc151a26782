"""Live transcription through both sockets, by the OpenAI SDK and by aiohttp, with the real model."""
import array
import asyncio
import base64
import contextlib
import json
import math
import random
import signal
import wave

import aiohttp
import openai
import pytest

from sdk import KEY, client_of
from servers import metrics
from speech import ENDING, chunks, resampled

RATE = 24_000
SILENCE_S = 1.5  # ends a turn


@pytest.fixture(scope="module")
def url(module_server):
    return module_server("live", WHISPER__MODEL="base", API_KEY=KEY, LIVE__MAX_SESSIONS=8).url


@pytest.fixture(scope="module")
def speech(sample):
    """The sample as 16-bit samples at 16 kHz."""
    with wave.open(str(sample)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (16_000, 2, 1)
        return file.readframes(file.getnframes())


def mu_law(samples):
    """G.711 µ-law of 16-bit samples."""
    def code(sample):
        sign = 0x80 if sample < 0 else 0
        magnitude = min(abs(sample), 32_635) + 0x84
        exponent = max(magnitude.bit_length() - 8, 0)
        return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF
    return bytes(code(sample) for sample in array.array("h", samples))


def session_of(format=None, **more):
    audio = {"transcription": {"model": "whisper-1", "language": "en", "delay": "low"}, **more}
    if format:
        audio["format"] = format
    return {"type": "transcription", "audio": {"input": audio}}


@contextlib.asynccontextmanager
async def socket_of(url, path, **query):
    """A WebSocket of aiohttp."""
    async with (aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session,
                session.ws_connect(f"{url}/v1/{path}", params=query) as socket):
        yield socket


async def turns(connection, count):
    """The events until `count` turns have ended."""
    events, ended = [], 0
    while ended < count:
        event = await asyncio.wait_for(connection.recv(), 60)
        events.append(event)
        assert event.type != "error", event
        ended += event.type.endswith((".completed", ".failed"))
    return events


async def append(connection, data, chunk_bytes):
    for chunk in chunks(data, chunk_bytes):
        await connection.input_audio_buffer.append(audio=base64.b64encode(chunk).decode())


def transcribe(url, data, *, chunk_bytes, session, kind="realtime"):
    """The events of the one turn that the client commits."""
    async def run():
        async with client_of(url, kind=openai.AsyncOpenAI).realtime.connect(
                extra_query={"intent": "transcription"}) as connection:
            await connection.session.update(session=session)
            await append(connection, data, chunk_bytes)
            await connection.input_audio_buffer.commit()
            return await turns(connection, 1)
    return asyncio.run(run())


def texts(events):
    """The joined deltas and the completed texts."""
    deltas = "".join(event.delta for event in events if event.type.endswith(".delta"))
    return deltas, [event.transcript for event in events if event.type.endswith(".completed")]


def test_deltas_and_completed_of_the_openai_sdk(url, speech):
    async def run():
        async with client_of(url, kind=openai.AsyncOpenAI).realtime.connect(model="whisper-1") as connection:
            await connection.session.update(session=session_of())
            # In real time, so that there is something to compute partial texts of.
            for chunk in chunks(resampled(speech, RATE) + bytes(int(2 * RATE * SILENCE_S)), RATE // 5):
                await append(connection, chunk, len(chunk))
                await asyncio.sleep(0.1)
            events = []
            while not (texts(events)[1] and ENDING in texts(events)[1][-1].lower()):
                events.append(await asyncio.wait_for(connection.recv(), 60))
            return events
    events = asyncio.run(run())
    deltas, completed = texts(events)
    assert "country" in deltas
    assert ENDING in " ".join(completed).lower()
    order = [event.type for event in events]
    first = order.index("input_audio_buffer.speech_started")
    assert first < order.index("conversation.item.input_audio_transcription.delta")
    assert order.index("input_audio_buffer.committed") < order.index("conversation.item.added")
    items = [event.item_id for event in events if event.type.endswith(".completed")]
    assert len(items) == len(set(items)) == order.count("input_audio_buffer.committed")


def test_completed_does_not_depend_on_the_size_of_messages(url, speech):
    data = resampled(speech, RATE)
    session = session_of(turn_detection=None)
    completed = [texts(transcribe(url, data, chunk_bytes=2 * RATE * ms // 1000, session=session))[1]
                 for ms in (20, 100, 5000)]
    assert completed[0] == completed[1] == completed[2]
    assert ENDING in completed[0][0].lower()


@pytest.mark.parametrize("format", [{"type": "audio/pcm", "rate": 16_000}, {"type": "audio/pcmu"}],
                         ids=["pcm_16_khz", "mu_law"])
def test_each_format_is_transcribed(url, speech, format):
    data = speech if format["type"] == "audio/pcm" else mu_law(resampled(speech, 8_000))
    session = session_of(format, turn_detection=None)
    _, [completed] = texts(transcribe(url, data, chunk_bytes=3_200, session=session))
    assert ENDING in completed.lower()


def test_a_beta_client_gets_the_events_of_the_beta(url, speech):
    async def run():
        # Without an address of its own it speaks TLS.
        client = client_of(url, kind=openai.AsyncOpenAI).copy(websocket_base_url=f"{url}/v1".replace("http", "ws", 1))
        async with client.beta.realtime.connect(
                model="whisper-1", extra_query={"intent": "transcription"}) as connection:
            await connection.transcription_session.update(session={
                "input_audio_format": "pcm16", "turn_detection": None,
                "input_audio_transcription": {"model": "whisper-1", "language": "en"},
            })
            await append(connection, resampled(speech, RATE), RATE // 5)
            await connection.input_audio_buffer.commit()
            return await turns(connection, 1)
    events = asyncio.run(run())
    kinds = [event.type for event in events]
    assert kinds[0] == "transcription_session.created"
    assert "conversation.item.created" in kinds
    assert ENDING in texts(events)[1][0].lower()


def test_a_client_secret_opens_a_socket_and_nothing_else(url, speech):
    secret = client_of(url).realtime.client_secrets.create(session={"type": "transcription"}).value
    assert secret.startswith("ek_")
    with pytest.raises(openai.AuthenticationError):
        client_of(url, key=secret).models.list()

    async def run():
        async with client_of(url, key=secret, kind=openai.AsyncOpenAI).realtime.connect() as connection:
            return (await connection.recv()).type
    assert asyncio.run(run()) == "session.created"


@pytest.mark.parametrize("vad", ["false", "true"])
def test_the_simple_stream(url, speech, vad):
    async def run():
        messages = []
        query = {"model": "whisper-1", "language": "en", "enable_vad": vad}
        async with socket_of(url, "audio/transcriptions/stream", **query) as socket:
            for chunk in chunks(speech, 3_200):
                await socket.send_bytes(chunk)
            await socket.send_json({"type": "audio.done"})
            async for message in socket:
                messages.append(json.loads(message.data))
            return messages, socket.close_code
    messages, code = asyncio.run(run())
    assert code == 1000
    assert messages[0]["type"] == "ready"
    finals = [message["text"] for message in messages if message["type"] == "transcript.final"]
    assert ENDING in " ".join(finals).lower()
    assert len(finals) == 1 if vad == "false" else len(finals) > 1


def noise():
    """A minute of white noise of a twentieth of full scale."""
    random_bytes = random.Random(1).randbytes(2 * RATE * 60)
    return array.array("h", (sample // 20 for sample in array.array("h", random_bytes))).tobytes()


def music():
    """A minute of plucked chords, four each second, repeated after three seconds."""
    chords = [(261.6, 329.6, 392.0), (220.0, 261.6, 329.6), (174.6, 220.0, 261.6)]
    beat = RATE // 4
    bar = array.array("h")
    for number in range(12):
        for at in range(beat):
            waves = (math.sin(math.tau * pitch * part * at / RATE) / part
                     for pitch in chords[number // 4] for part in (1, 2, 3))
            bar.append(round(3_000 * math.exp(-3 * at / beat) * sum(waves)))
    return bar.tobytes() * 20


@pytest.mark.parametrize("sound", [lambda: bytes(2 * RATE * 60), noise, music], ids=["silence", "noise", "music"])
def test_a_minute_without_speech_gives_no_event(url, sound):
    async def run():
        async with client_of(url, kind=openai.AsyncOpenAI).realtime.connect() as connection:
            await connection.session.update(session=session_of())
            await append(connection, sound(), RATE)
            await connection.input_audio_buffer.commit()
            return await turns(connection, 1)
    kinds = {event.type.rpartition(".")[2] for event in asyncio.run(run())}
    assert kinds == {"created", "updated", "committed", "added", "done", "completed"}


def test_a_turn_is_completed_before_the_server_stops(server, speech):
    running = server(WHISPER__MODEL="base", API_KEY=KEY, LIVE__MAX_SESSIONS=8)

    async def run():
        received = []
        async with socket_of(running.url, "realtime") as socket:
            session = session_of({"type": "audio/pcm", "rate": 16_000})
            await socket.send_json({"type": "session.update", "session": session})
            for chunk in chunks(speech, 3_200):
                audio = base64.b64encode(chunk).decode()
                await socket.send_json({"type": "input_audio_buffer.append", "audio": audio})
            async for message in socket:
                received.append(json.loads(message.data))
                kinds = [event["type"] for event in received]
                # A second signal would end the server at once.
                if kinds[-1] == "input_audio_buffer.speech_started" and kinds.count(kinds[-1]) == 1:
                    running.process.send_signal(signal.SIGTERM)
            return received, socket.close_code
    received, code = asyncio.run(run())
    completed = [event["transcript"] for event in received if event["type"].endswith(".completed")]
    assert code == 1001
    assert completed
    assert received[-1]["type"].endswith(".completed")


def test_a_client_faster_than_real_time_loses_nothing(url, speech):
    """Two and a half minutes of speech in one turn, sent as fast as the server reads: each sentence is in the text."""
    sentences = 14
    data = resampled(speech, RATE)

    async def run():
        async with client_of(url, kind=openai.AsyncOpenAI).realtime.connect() as connection:
            await connection.session.update(session=session_of(turn_detection=None, transcription={
                "model": "tiny.en", "delay": "xhigh"}))
            for _ in range(sentences):
                await append(connection, data, RATE)
            await connection.input_audio_buffer.commit()
            return await turns(connection, 1)
    _, [completed] = texts(asyncio.run(run()))
    words = completed.lower().replace(",", "").replace(".", "").split()
    # A sentence at the border of two pieces may lose a word.
    assert abs(words.count("americans") - sentences) <= 1
    assert abs(words.count("country") - 2 * sentences) <= 2


def test_clients_that_hang_up_leave_nothing_behind(url, speech):
    async def run():
        for _ in range(100):
            async with socket_of(url, "audio/transcriptions/stream", model="whisper-1") as socket:
                await socket.send_bytes(speech[:64_000])
        # The server notices the last ones when they are gone.
        for _ in range(300):
            found = await asyncio.to_thread(metrics, url)
            left = [sum(value for name, value in found.items() if name.split("{")[0] == wanted) for wanted in
                    ("halkspeech_live_sessions", "halkspeech_open_windows", "halkspeech_queued_windows")]
            if not any(left):
                break
            await asyncio.sleep(0.1)
        return left
    assert asyncio.run(run()) == [0, 0, 0]
