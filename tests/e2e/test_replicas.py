"""Callers do not notice that a server behind the proxy dies: Compose with two replicas, one killed under load.

Needs `docker compose --profile replicas up -d` with the model base in place. Every request has to be answered with 200
and one and the same text.
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
# After which share of the answers, what is said to Compose: the first replica is killed and started again, then the
# second one is restarted, which drains it.
EVENTS = [(0.2, ["kill", "replica-1"]), (0.4, ["start", "replica-1"]), (0.6, ["restart", "replica-2"])]


@pytest.fixture
def compose(pytestconfig):
    """The command that is told what to do with the replicas."""
    command = shlex.split(pytestconfig.getoption("--compose"))
    needs.command(command[0], "compose")
    return [*command, "--profile", "replicas"]


@pytest.fixture
def proxy(pytestconfig, compose):
    url = pytestconfig.getoption("--replicas-url").rstrip("/")
    needs.answering(url + "/ready", "compose", "`docker compose --profile replicas up -d`, or --replicas-url")
    return url


class Requests:
    """Hands out as many turns as there are requests."""

    def __init__(self, count):
        self._left = count

    def take(self):
        self._left -= 1
        return 0 if self._left >= 0 else None


async def send_all(url, clip, compose):
    """Sends the requests, and kills and starts replicas meanwhile; the answers, and the seconds that all took."""
    begun, answered, due, running = time.perf_counter(), 0, list(EVENTS), []
    async with load.session() as client:
        async def ask(clip):
            nonlocal answered
            answer = await load.send(client, url, clip, FIELDS)
            answered += 1
            if due and answered >= due[0][0] * REQUESTS:
                _, words = due.pop(0)
                print(f"{time.perf_counter() - begun:6.1f} s, {answered} answers: {' '.join(words)}")
                running.append(asyncio.create_task(asyncio.to_thread(
                    subprocess.run, [*compose, *words], check=True, capture_output=True)))
            return answer

        answers, seconds = await load.closed_loop(ask, [clip], CALLERS, Requests(REQUESTS))
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
