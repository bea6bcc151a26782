"""Clients that do not behave: they leave in the middle, stand still, send half of what they announced, or no HTTP.

Each returns what it saw, in a word or two; what the server must not do is keep them for ever.
"""
import asyncio
import contextlib
import socket
import struct
import time

from soaking.ledger import Reply

GIVE_UP_S = 30


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


async def leave(address, request, sent, after_s, reset):
    """Sends the first `sent` bytes, waits, and is gone: with a reset, or with an orderly end."""
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
    return "left"


async def leave_stream(address, request, patience_s):
    """Leaves as soon as the first piece of a stream has come."""
    async with connection(address) as (reader, writer):
        writer.write(request)
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await writer.drain()
            await asyncio.wait_for(reader.readuntil(b"data: "), patience_s)
            return "left with a piece"
    return "left without a piece"


async def stand_still(address, request, sent):
    """Sends a part and then nothing; the answer, or that the connection was closed without one."""
    async with connection(address) as (reader, writer):
        writer.write(request[:sent])
        return await _answer(reader)


async def end_early(address, request, sent):
    """Sends a part, says that nothing more will come, and waits."""
    async with connection(address) as (reader, writer):
        writer.write(request[:sent])
        writer.write_eof()
        return await _answer(reader)


async def keep(address, requests):
    """Sends requests one after the other over one connection; their replies, and bytes that nobody asked for."""
    replies = []
    async with connection(address) as (reader, writer):
        for request in requests:
            begun = time.perf_counter()
            writer.write(request)
            try:
                status, headers, body = await asyncio.wait_for(_read(reader), 300)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, IndexError, ValueError) as error:
                replies.append(Reply(0, repr(error).encode(), {}, time.perf_counter() - begun))
                return replies, b""
            replies.append(Reply(status, body, headers, time.perf_counter() - begun))
            if headers.get("connection") == "close":
                return replies, b""
        with contextlib.suppress(TimeoutError):
            return replies, await asyncio.wait_for(reader.read(1000), 0.2)
    return replies, b""


async def _answer(reader):
    try:
        line = await asyncio.wait_for(reader.readline(), GIVE_UP_S)
        rest = await asyncio.wait_for(reader.read(), GIVE_UP_S)
    except TimeoutError:
        return f"kept for {GIVE_UP_S} s"
    except OSError:
        return "closed"
    if not line:
        return "closed"
    body = rest.partition(b"\r\n\r\n")[2]
    return Reply(int(line.split()[1]), body, {}, 0.0)


async def _read(reader):
    """One answer that has a length or comes in chunks."""
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
