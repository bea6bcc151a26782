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
# The proxies wait for this time instead of an hour: the server's pings, one in 20 s, must keep a silent session open.
PROXY_TIMEOUT_S, SILENCE_S = 30, 45


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
    assert "65m" in example
    example = example.replace("65m", f"{PROXY_TIMEOUT_S}s")
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
    assert "timeout tunnel 65m" in text
    text = text.replace("timeout tunnel 65m", f"timeout tunnel {PROXY_TIMEOUT_S}s")
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


async def text_of(url, speech, silence_s):
    """The text of a session whose client sends nothing for this time, then speech."""
    async with (aiohttp.ClientSession() as session,
                session.ws_connect(f"{url}/v1/realtime?intent=transcription") as connection):
        async def read():
            """Also answers the pings."""
            texts = []
            async for message in connection:
                event = json.loads(message.data)
                assert event["type"] != "error", event
                if event["type"].endswith(".completed"):
                    texts.append(event["transcript"])
                    if ENDING in event["transcript"].lower():
                        break
            return " ".join(texts)

        reading = asyncio.create_task(read())
        await connection.send_json({"type": "session.update", "session": {"audio": {"input": {
            "format": {"type": "audio/pcm", "rate": 16_000}, "transcription": {"language": "en"}}}}})
        await asyncio.sleep(silence_s)
        for chunk in chunks(speech + bytes(2 * 16_000), 3_200):
            event = {"type": "input_audio_buffer.append", "audio": base64.b64encode(chunk).decode()}
            await connection.send_json(event)
        return await reading


def test_a_session_passes(proxy, speech):
    assert ENDING in asyncio.run(asyncio.wait_for(text_of(proxy, speech, 0), 60)).lower()


@pytest.mark.slow
def test_pings_keep_a_silent_session_open(proxy, speech):
    assert ENDING in asyncio.run(asyncio.wait_for(text_of(proxy, speech, SILENCE_S), SILENCE_S + 60)).lower()
