"""Callers are not affected by the death of a server behind the proxy: two replicas in Compose, one killed under load.

Needs `docker compose --profile replicas up -d` with the model base in place. Every request must be answered with 200
and the same text.
"""
import asyncio
import collections
import shlex
import subprocess
import time

import pytest

import clips
import load
import needs

REQUESTS, CALLERS = 500, 8
FIELDS = {"model": "base", "language": "en"}
# Shares of the answers, and Compose commands to run after them: the first replica is killed and started again, then the
# second one is restarted, which drains it.
EVENTS = [(0.2, ["kill", "replica-1"]), (0.4, ["start", "replica-1"]), (0.6, ["restart", "replica-2"])]


@pytest.fixture
def compose(pytestconfig):
    """The command that controls the replicas."""
    command = shlex.split(pytestconfig.getoption("--compose"))
    needs.command(command[0], "compose")
    return [*command, "--profile", "replicas"]


@pytest.fixture
def proxy(pytestconfig, compose):
    url = pytestconfig.getoption("--replicas-url").rstrip("/")
    needs.reachable_url(url + "/ready", "compose", "`docker compose --profile replicas up -d`, or --replicas-url")
    return url


class RequestCount:
    """Counts the requests that are left, in the interface of load.ClipSequence."""

    def __init__(self, count):
        self._left = count

    def take(self):
        self._left -= 1
        return 0 if self._left >= 0 else None


async def send_all(url, clip, compose):
    """Sends the requests, and meanwhile kills and starts replicas; returns the answers and the total seconds."""
    start, answered, events, running = time.perf_counter(), 0, list(EVENTS), []
    async with load.session() as client:
        async def send_clip(clip):
            nonlocal answered
            answer = await load.send(client, url, clip, FIELDS)
            answered += 1
            if events and answered >= events[0][0] * REQUESTS:
                _, arguments = events.pop(0)
                print(f"{time.perf_counter() - start:6.1f} s, {answered} answers: {' '.join(arguments)}")
                running.append(asyncio.create_task(asyncio.to_thread(
                    subprocess.run, [*compose, *arguments], check=True, capture_output=True)))
            return answer

        answers, seconds = await load.closed_loop(send_clip, [clip], CALLERS, RequestCount(REQUESTS))
        await asyncio.gather(*running)
    return answers, seconds


@pytest.mark.slow
def test_no_caller_notices_that_a_replica_dies(proxy, sample, compose):
    answers, seconds = asyncio.run(send_all(proxy, clips.Clip(str(sample), "", "", 0.0, ""), compose))
    latencies = [answer.seconds for answer in answers]
    print(f"{len(answers)} requests in {seconds:.1f} s, p50 {load.quantile(latencies, 0.5):.2f} s, "
          f"p95 {load.quantile(latencies, 0.95):.2f} s, longest {max(latencies):.2f} s")
    failed = [(answer.status, answer.text[:200]) for answer in answers if answer.status != 200]
    assert not failed
    assert len(answers) == REQUESTS
    assert len(collections.Counter(answer.text for answer in answers)) == 1
