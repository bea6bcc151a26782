"""Clients that misbehave: they disconnect early, stall, send an incomplete body, or do not speak HTTP.

Each returns its outcome in a few words, or the server's answer; the server must not keep a connection open for ever.
"""
import asyncio
import contextlib
import socket
import struct
import time

from soak.results import Reply

ANSWER_TIMEOUT_S = 30


@contextlib.asynccontextmanager
async def connection(address):
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        with contextlib.suppress(OSError):
            writer.transport.abort()


def head(method, path, length, content_type, key):
    return (f"{method} {path} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n").encode()


async def disconnect(address, request, sent, after_s, reset):
    """Sends the first `sent` bytes, waits, and disconnects: with a TCP reset, or with an orderly close."""
    async with connection(address) as (_, writer):
        with contextlib.suppress(OSError):
            writer.write(request[:sent])
            await writer.drain()
            await asyncio.sleep(after_s)
            if reset:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                           struct.pack("ii", 1, 0))
            else:
                writer.close()
                await writer.wait_closed()
    return "disconnected"


async def disconnect_in_stream(address, request, patience_s):
    """Disconnects after the first event of a stream."""
    async with connection(address) as (reader, writer):
        writer.write(request)
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await writer.drain()
            await asyncio.wait_for(reader.readuntil(b"data: "), patience_s)
            return "disconnected after an event"
    return "disconnected before an event"


async def stall(address, request, sent):
    """Sends a part and then nothing; returns the answer, or that the connection was closed without one."""
    async with connection(address) as (reader, writer):
        writer.write(request[:sent])
        return await _answer(reader)


async def half_close(address, request, sent):
    """Sends a part, closes its sending side, and waits for the answer."""
    async with connection(address) as (reader, writer):
        writer.write(request[:sent])
        writer.write_eof()
        return await _answer(reader)


async def send_in_sequence(address, requests):
    """Sends requests in sequence over one connection; returns their replies, and any bytes after the last one."""
    replies = []
    async with connection(address) as (reader, writer):
        for request in requests:
            start = time.perf_counter()
            writer.write(request)
            try:
                status, headers, body = await asyncio.wait_for(_read(reader), 300)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, IndexError, ValueError) as error:
                replies.append(Reply(0, repr(error).encode(), {}, time.perf_counter() - start))
                return replies, b""
            replies.append(Reply(status, body, headers, time.perf_counter() - start))
            if headers.get("connection") == "close":
                return replies, b""
        with contextlib.suppress(TimeoutError):
            return replies, await asyncio.wait_for(reader.read(1000), 0.2)
    return replies, b""


async def _answer(reader):
    try:
        line = await asyncio.wait_for(reader.readline(), ANSWER_TIMEOUT_S)
        remainder = await asyncio.wait_for(reader.read(), ANSWER_TIMEOUT_S)
    except TimeoutError:
        return f"still open after {ANSWER_TIMEOUT_S} s"
    except OSError:
        return "closed"
    if not line:
        return "closed"
    body = remainder.partition(b"\r\n\r\n")[2]
    return Reply(int(line.split()[1]), body, {}, 0.0)


async def _read(reader):
    """Reads one answer that has a length or is sent in chunks."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
    if "content-length" in headers:
        return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))
    body = b""
    while headers.get("transfer-encoding") == "chunked":
        size = int(await reader.readline(), 16)
        body += (await reader.readexactly(size + 2))[:size]
        if not size:
            break
    return int(lines[0].split()[1]), headers, body
