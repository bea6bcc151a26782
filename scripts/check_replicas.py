#!/usr/bin/env python3
"""Whether callers notice that a server behind the proxy dies: compose with two replicas, one killed under load.

usage: check_replicas.py --audio FILE [--model base] [--requests 500] [--callers 8]

Needs `docker compose --profile replicas up -d` with the model in place, and aiohttp. A fifth of the way the first
replica is killed; at two fifths it is started again; at three fifths the second one is restarted, which drains it.
Prints what the callers saw, and fails unless every request was answered with 200 and one and the same text.
"""
import argparse
import asyncio
import collections
import subprocess
import sys
import time

from clips import Clip
from load import closed_loop, quantile, send, session

# After which share of the answers, what is said to docker compose.
EVENTS = [(0.2, ["kill", "replica-1"]), (0.4, ["start", "replica-1"]), (0.6, ["restart", "replica-2"])]


class Requests:
    """Hands out as many turns as there are requests."""

    def __init__(self, count):
        self._left = count

    def take(self):
        self._left -= 1
        return 0 if self._left >= 0 else None


async def main(flags):
    clip = Clip(flags.audio, "", "", 0.0, "")
    fields = {"model": flags.model, "language": flags.language}
    begun, answered, due = time.perf_counter(), 0, list(EVENTS)
    running = []

    async with session() as client:
        async def ask(clip):
            nonlocal answered
            answer = await send(client, flags.url, clip, fields)
            answered += 1
            if due and answered >= due[0][0] * flags.requests:
                _, words = due.pop(0)
                print(f"{time.perf_counter() - begun:6.1f} s, {answered} answers: {flags.compose} {' '.join(words)}")
                command = [*flags.compose.split(), "--profile", "replicas", *words]
                running.append(asyncio.create_task(asyncio.to_thread(subprocess.run, command, check=True,
                                                                     capture_output=True)))
            return answer

        answers, seconds = await closed_loop(ask, [clip], flags.callers, Requests(flags.requests))
        await asyncio.gather(*running)

    statuses = collections.Counter(answer.status for answer in answers)
    texts = collections.Counter(answer.text for answer in answers if answer.status == 200)
    latencies = [answer.seconds for answer in answers]
    print(f"{len(answers)} requests in {seconds:.1f} s: statuses {dict(statuses)}, {len(texts)} different texts, "
          f"p50 {quantile(latencies, 0.5):.2f} s, p95 {quantile(latencies, 0.95):.2f} s, longest {max(latencies):.2f} s")
    for answer in answers:
        if answer.status != 200:
            print(f"    at {answer.begun - begun:.1f} s: {answer.status} {answer.text[:200]}")
    passed = statuses == {200: flags.requests} and len(texts) == 1
    print("pass" if passed else "fail")
    return 0 if passed else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audio", required=True, help="a recording that every request sends")
    parser.add_argument("--model", default="base")
    parser.add_argument("--language", default="en")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--compose", default="docker compose", help="the command, or docker-compose")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    sys.exit(asyncio.run(main(parser.parse_args())))
