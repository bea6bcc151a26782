"""Callers that send their next request as soon as the last is answered, and keep every answer.

Load is measured with `halkspeech bench`. This is for what it does not give: each answer with its text and headers,
which tests of batches need; and a new connection for each request, without which peers of several processes would be at
a disadvantage, in the same turns as a peer that has no HTTP.
"""
import asyncio
import json
import statistics
import threading
import time
from dataclasses import dataclass, field

import aiohttp

from word_errors import edits, units


@dataclass
class Answer:
    """What became of one request; `status` is 0 where there was no answer."""
    clip: object
    begun: float
    seconds: float
    status: int
    text: str = ""
    headers: dict = field(default_factory=dict)

    @property
    def batch_size(self):
        return int(self.headers.get("x-batch-size", 0))

    @property
    def queue_ms(self):
        return float(self.headers.get("x-queue-ms", 0))

    @property
    def inference_ms(self):
        return float(self.headers.get("x-inference-ms", 0))


class ClipSequence:
    """Hands out numbers of clips until the time is over and, where passes are to be whole, the pass is."""

    def __init__(self, clips, seconds, whole_passes=False):
        self._clips, self._step = clips, clips if whole_passes else 1
        self._next, self._lock = 0, threading.Lock()
        self._until = time.perf_counter() + seconds

    def take(self):
        with self._lock:
            if self._next % self._step == 0 and self._next and time.perf_counter() >= self._until:
                return None
            self._next += 1
            return (self._next - 1) % self._clips


def session(timeout_s=900):
    """As many connections as there are requests, none kept: no caller is bound to one process of a server."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s),
                                 connector=aiohttp.TCPConnector(limit=0, force_close=True))


async def send(client, url, clip, fields, route="transcriptions"):
    """One request as a form."""
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, str(value))
    form.add_field("file", clip.read(), filename=clip.name, content_type="application/octet-stream")
    begun = time.perf_counter()
    try:
        async with client.post(f"{url}/v1/audio/{route}", data=form) as response:
            body, seconds = await response.text(), time.perf_counter() - begun
            text = json.loads(body)["text"] if response.status == 200 else body
            return Answer(clip, begun, seconds, response.status, text, dict(response.headers))
    except (aiohttp.ClientError, TimeoutError) as error:
        return Answer(clip, begun, time.perf_counter() - begun, 0, repr(error))


async def closed_loop(ask, clips, callers, turns):
    """Runs `ask(clip)` for the clips in turn, so many at a time; the answers and the seconds it took."""
    answers = []

    async def caller():
        while (number := turns.take()) is not None:
            answers.append(await ask(clips[number]))

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return answers, time.perf_counter() - start


async def steady(ask, clips, callers, look, least_s, most_s):
    """Runs `ask(clip)` until each caller has had an answer, and on: what was answered while all kept on asking.

    That time is the given seconds, or that of three answers to each caller where it is longer; at most `most_s`.
    `look` is called at its begin and end. Returns the answers within it, its seconds, and what both looks saw.
    """
    answers, warm, asked = [], set(), 0

    async def caller(number):
        nonlocal asked
        while True:
            clip, asked = clips[asked % len(clips)], asked + 1
            answer = await ask(clip)
            answers.append((time.perf_counter(), answer))
            warm.add(number)
            if answer.status != 200:
                await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(caller(number)) for number in range(callers)]
    begun = time.perf_counter()
    while len(warm) < callers and time.perf_counter() - begun < most_s:
        await asyncio.sleep(0.05)
    seconds = min(most_s, max(least_s, 3 * (time.perf_counter() - begun)))
    before, start = await asyncio.to_thread(look), time.perf_counter()
    await asyncio.sleep(seconds)
    end, after = time.perf_counter(), await asyncio.to_thread(look)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [answer for moment, answer in answers if start <= moment <= end], end - start, before, after


def quantile(values, share):
    """The value below which that share of the values lies; 0 without any."""
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def summary(answers, wall_s):
    """Rates, latencies and wrong words of a run."""
    good = [answer for answer in answers if answer.status == 200]
    words = wrong = 0
    seen = {}
    for answer in good:
        key = (answer.clip.path, answer.text)
        if key not in seen:
            reference = units(answer.clip.text, answer.clip.language)
            seen[key] = edits(reference, units(answer.text, answer.clip.language)), len(reference)
        wrong, words = wrong + seen[key][0], words + seen[key][1]
    seconds = [answer.seconds for answer in good]
    return {
        "answers": len(good), "failures": len(answers) - len(good), "wall_s": wall_s,
        "requests_per_s": len(good) / wall_s,
        "audio_s_per_s": sum(answer.clip.duration_s for answer in good) / wall_s,
        "p50_s": quantile(seconds, 0.5), "p95_s": quantile(seconds, 0.95), "wer_percent": 100 * wrong / max(1, words),
    }


def medians(runs):
    """The median of each figure over several runs; failures are added up."""
    return {name: sum(run[name] for run in runs) if name == "failures" else statistics.median(run[name] for run in runs)
            for name in runs[0]}
