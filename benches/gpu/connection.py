"""A persistent connection to the server that sends audio as the body of a request and reads the response."""
import asyncio
import json
import urllib.parse
from typing import NamedTuple


class Answer(NamedTuple):
    status: int
    body: bytes

    def text(self):
        return json.loads(self.body)["text"]


def target(fields):
    return "/v1/audio/transcriptions?" + urllib.parse.urlencode(fields)


class Connection:
    def __init__(self, address, gate=None):
        """`gate` is a semaphore that limits the number of connections opened concurrently."""
        self.address, self.gate = address, gate or asyncio.Semaphore()
        self.reader = self.writer = None

    async def post(self, path, body):
        if self.writer is None:
            async with self.gate:
                self.reader, self.writer = await asyncio.open_connection(*self.address)
        try:
            head = (f"POST {path} HTTP/1.1\r\nHost: {self.address[0]}\r\nContent-Type: application/octet-stream\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n")
            self.writer.write(head.encode())
            self.writer.write(body)
            await self.writer.drain()
            return await self._answer()
        except BaseException:
            self.close()
            raise

    async def _answer(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split()[1]), body)

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None
