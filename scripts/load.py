"""Closed-loop load that keeps every answer.

Load is measured with `halkspeech bench`. This module provides what it does not: each answer with its text and headers,
for tests of batches; a new connection per request, without which peers of several processes would be at a disadvantage;
and a sequence of clips that a peer without HTTP can use as well.
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
    """The result of one request; `status` is 0 if there was no answer."""
    clip: object
    start_s: float
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
    """Yields indices of clips until the time is over and, with `whole_passes`, the pass is complete."""

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
    """A session with a new connection per request, so that no caller is bound to one process of a server."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s),
                                 connector=aiohttp.TCPConnector(limit=0, force_close=True))


async def send(client, url, clip, fields, route="transcriptions"):
    """Sends one request as a form."""
    form = aiohttp.FormData()
    for name, value in fields.items():
        form.add_field(name, str(value))
    form.add_field("file", clip.read(), filename=clip.name, content_type="application/octet-stream")
    start_s = time.perf_counter()
    try:
        async with client.post(f"{url}/v1/audio/{route}", data=form) as response:
            body, seconds = await response.text(), time.perf_counter() - start_s
            text = json.loads(body)["text"] if response.status == 200 else body
            return Answer(clip, start_s, seconds, response.status, text, dict(response.headers))
    except (aiohttp.ClientError, TimeoutError) as error:
        return Answer(clip, start_s, time.perf_counter() - start_s, 0, repr(error))


async def closed_loop(send_clip, clips, callers, turns):
    """Runs `send_clip(clip)` for the clips in `turns`, `callers` at a time; returns the answers and the seconds."""
    answers = []

    async def caller():
        while (number := turns.take()) is not None:
            answers.append(await send_clip(clips[number]))

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return answers, time.perf_counter() - start


async def steady(send_clip, clips, callers, read_metrics, min_s, max_s):
    """Runs `send_clip(clip)` in a closed loop, and measures after each caller has had an answer.

    The measurement lasts `min_s`, or the time of three answers to each caller if that is longer; at most `max_s`.
    `read_metrics` is called at its start and end. Returns its answers, its seconds, and the results of both calls.
    """
    answers, answered, sent = [], set(), 0

    async def caller(number):
        nonlocal sent
        while True:
            clip, sent = clips[sent % len(clips)], sent + 1
            answer = await send_clip(clip)
            answers.append((time.perf_counter(), answer))
            answered.add(number)
            if answer.status != 200:
                await asyncio.sleep(0.1)

    tasks = [asyncio.create_task(caller(number)) for number in range(callers)]
    start_s = time.perf_counter()
    while len(answered) < callers and time.perf_counter() - start_s < max_s:
        await asyncio.sleep(0.05)
    seconds = min(max_s, max(min_s, 3 * (time.perf_counter() - start_s)))
    before, start = await asyncio.to_thread(read_metrics), time.perf_counter()
    await asyncio.sleep(seconds)
    end, after = time.perf_counter(), await asyncio.to_thread(read_metrics)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [answer for moment, answer in answers if start <= moment <= end], end - start, before, after


def quantile(values, share):
    """The value below which a share of the values lies; 0 without values."""
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def summary(answers, wall_s):
    """Rates, latencies and word errors of a run."""
    good = [answer for answer in answers if answer.status == 200]
    words = wrong = 0
    counts = {}
    for answer in good:
        key = (answer.clip.path, answer.text)
        if key not in counts:
            reference = units(answer.clip.text, answer.clip.language)
            counts[key] = edits(reference, units(answer.text, answer.clip.language)), len(reference)
        wrong, words = wrong + counts[key][0], words + counts[key][1]
    seconds = [answer.seconds for answer in good]
    return {
        "answers": len(good), "failures": len(answers) - len(good), "wall_s": wall_s,
        "requests_per_s": len(good) / wall_s,
        "audio_s_per_s": sum(answer.clip.duration_s for answer in good) / wall_s,
        "p50_s": quantile(seconds, 0.5), "p95_s": quantile(seconds, 0.95), "wer_percent": 100 * wrong / max(1, words),
    }


def medians(runs):
    """The median of each figure over several runs; the sum of failures."""
    return {name: sum(run[name] for run in runs) if name == "failures" else statistics.median(run[name] for run in runs)
            for name in runs[0]}
