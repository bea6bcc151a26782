"""Home Assistant's requests in the Wyoming protocol, by the client of the package `wyoming`."""
import asyncio
import wave

import pytest

import needs
import servers
from speech import ENDING

CHUNK_SAMPLES = 1024  # As Home Assistant sends.


@pytest.fixture(scope="module")
def address(module_server):
    """The address of the Wyoming port of a server."""
    port = servers.free_port()
    module_server("wyoming", WHISPER__MODEL="base", WYOMING__PORT=port)
    return f"tcp://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def wyoming():
    """The modules of the package."""
    needs.module("wyoming", "clients", "requirements-clients.txt")
    from wyoming import asr, audio, client, error, info
    return {"asr": asr, "audio": audio, "client": client, "error": error, "info": info}


async def transcribed(wyoming, address, sample, language):
    """The events of the answer to an utterance, in order."""
    asr, audio = wyoming["asr"], wyoming["audio"]
    with wave.open(str(sample)) as file:
        form = {"rate": file.getframerate(), "width": file.getsampwidth(), "channels": file.getnchannels()}
        samples = file.readframes(file.getnframes())
    events = []
    async with wyoming["client"].AsyncClient.from_uri(address) as client:
        await client.write_event(asr.Transcribe(language=language).event())
        await client.write_event(audio.AudioStart(**form).event())
        step = CHUNK_SAMPLES * form["width"] * form["channels"]
        for at in range(0, len(samples), step):
            await client.write_event(audio.AudioChunk(audio=samples[at:at + step], **form).event())
        await client.write_event(audio.AudioStop().event())
        while event := await client.read_event():
            events.append(event)
            if asr.TranscriptStop.is_type(event.type) or wyoming["error"].Error.is_type(event.type):
                break
    return events


def test_the_models_are_described(wyoming, address):
    async def described():
        async with wyoming["client"].AsyncClient.from_uri(address) as client:
            await client.write_event(wyoming["info"].Describe().event())
            return await client.read_event()

    info = wyoming["info"].Info.from_event(asyncio.run(described()))
    [program] = info.asr
    assert program.installed
    assert program.supports_transcript_streaming
    assert program.models[0].name == "base"
    assert {"en", "tr"} <= set(program.models[0].languages)


def test_an_utterance_gets_its_transcript(wyoming, address, sample):
    events = asyncio.run(transcribed(wyoming, address, sample, "en"))
    asr = wyoming["asr"]
    kinds = [event.type for event in events]
    assert kinds[0] == "transcript-start"
    assert kinds[-2:] == ["transcript", "transcript-stop"]
    transcript = asr.Transcript.from_event(events[-2])
    assert ENDING in transcript.text
    assert transcript.language == "en"
    chunks = "".join(asr.TranscriptChunk.from_event(event).text for event in events[1:-2])
    assert ENDING in chunks


def test_an_unknown_language_is_an_error(wyoming, address, sample):
    events = asyncio.run(transcribed(wyoming, address, sample, "klingon"))
    assert wyoming["error"].Error.from_event(events[-1]).code == "invalid_value"
