"""A live session passes the proxies of the documentation: nginx with the example of docs/live.md, HAProxy with
docker/haproxy/haproxy.cfg."""
import asyncio
import base64
import contextlib
import json
import pathlib
import re
import socket
import subprocess
import time
import urllib.parse
import wave

import aiohttp
import pytest

import needs
import servers
from speech import ENDING, chunks

ROOT = pathlib.Path(__file__).parents[2]
START_S = 20
LONG_S, SHORT_S = 11 * 60, 65  # A minute is the read timeout of many proxies.


@pytest.fixture(scope="module")
def url(module_server):
    return module_server("live_proxies", WHISPER__MODEL="base", LIVE__MAX_SESSIONS=8).url


@pytest.fixture(scope="module")
def speech(sample):
    with wave.open(str(sample)) as file:
        return file.readframes(file.getnframes())


def nginx(folder, backend, port):
    """The command line of nginx with the example of docs/live.md."""
    program = needs.command("nginx")
    example = re.search("```nginx\n(.*?)```", (ROOT / "docs/live.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    assert "127.0.0.1:8000" in example
    example = example.replace("127.0.0.1:8000", f"127.0.0.1:{backend}")
    example = example.replace("server {", f"server {{ listen 127.0.0.1:{port};", 1)
    temporary = "".join(f"{kind}_temp_path {folder}/{kind}; "
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    path = folder / "nginx.conf"
    path.write_text(f"daemon off; pid {folder}/pid; error_log stderr; events {{}}\n"
                    f"http {{ access_log off; {temporary}\n{example}}}\n", encoding="utf-8")
    return [program, "-p", str(folder), "-c", str(path)]


def haproxy(folder, backend, port):
    """The command line of HAProxy with the configuration of the containers, and one server."""
    program = needs.command("haproxy")
    text = (ROOT / "docker/haproxy/haproxy.cfg").read_text(encoding="utf-8")
    text = text.replace("bind :8000", f"bind 127.0.0.1:{port}")
    text = text.replace('"${SERVER_1}:8000"', f"127.0.0.1:{backend}")
    text = re.sub("    server second .*\n", "", text)
    path = folder / "haproxy.cfg"
    path.write_text(text, encoding="utf-8")
    return [program, "-db", "-f", str(path)]


@contextlib.contextmanager
def running(command, port):
    """Runs a proxy until the block ends; it listens when the block begins."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, process.stderr.read()[-1000:]
            assert time.monotonic() < end, "the proxy does not listen"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(params=[nginx, haproxy], ids=["nginx", "haproxy"])
def proxy(request, url, tmp_path):
    """The address of a proxy of the server that is ready."""
    port = servers.free_port()
    command = request.param(tmp_path, urllib.parse.urlsplit(url).port, port)
    with running(command, port) as address:
        yield address


async def texts_of(url, speech, silence_s):
    """The texts of a session whose audio begins with silence in real time, and the code with which it closes."""
    async with (aiohttp.ClientSession() as session,
                session.ws_connect(f"{url}/v1/realtime?intent=transcription") as connection):
        async def append(audio):
            event = {"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()}
            await connection.send_json(event)

        await connection.send_json({"type": "session.update", "session": {"audio": {"input": {
            "format": {"type": "audio/pcm", "rate": 16_000}, "transcription": {"language": "en"}}}}})
        for _ in range(silence_s):
            await append(bytes(2 * 16_000))
            await asyncio.sleep(1)
        for chunk in chunks(speech + bytes(2 * 16_000), 3_200):
            await append(chunk)
        texts = []
        async for message in connection:
            event = json.loads(message.data)
            assert event["type"] != "error", event
            if event["type"].endswith(".completed"):
                texts.append(event["transcript"])
                if ENDING in event["transcript"].lower():
                    await connection.close()
        return " ".join(texts)


def test_a_session_passes(proxy, speech):
    assert ENDING in asyncio.run(asyncio.wait_for(texts_of(proxy, speech, 0), 60)).lower()


@pytest.mark.slow
def test_a_session_of_eleven_minutes_passes(proxy, speech, short):
    silence_s = SHORT_S if short else LONG_S
    assert ENDING in asyncio.run(asyncio.wait_for(texts_of(proxy, speech, silence_s), silence_s + 120)).lower()
