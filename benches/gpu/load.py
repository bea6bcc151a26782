"""Callers in a closed loop: each sends its next request as soon as its last one is answered."""
import asyncio
import itertools
import math
import time
from dataclasses import dataclass, field

from asking import Connection

# What a caller waits after a failure, so that a refusing server is not asked in a tight loop.
AFTER_FAILURE_S = 0.2
# Connections that are opened at one time: the kernel holds few that the server has not accepted.
OPENING = 64
# How often the end of a load is looked for.
LOOK_S = 0.1
# Answers of a batch come within so many seconds of each other.
BURST_S = 0.2


@dataclass
class Load:
    """Answers as pairs of the time they came at and the seconds they took, and what went wrong."""
    callers: int
    answers: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    # The share of a core that this side of the connections took.
    client_cores: float = 0.0

    def steady(self, batch_size):
        """Requests a minute once the first batch is answered, counted up to the last answer; and the latencies of
        those requests. Answers come a batch at a time, so both ends are the last answer of a batch: a count between
        fixed times would be off by up to a batch.
        """
        answers = sorted(self.answers)
        times = [at for at, _ in answers]
        ends = [at for at, later in zip(times, [*times[1:], math.inf]) if later - at > BURST_S]
        start = next((at for at in ends if len(times) >= batch_size and at >= times[batch_size - 1]), math.inf)
        rest = [answer for answer in answers if answer[0] > start]
        if len(rest) < batch_size // 2:
            return None, [latency for _, latency in answers]
        return 60 * len(rest) / (rest[-1][0] - start), [latency for _, latency in rest]


async def closed_loop(address, path, bodies, callers, until, check):
    """Callers take the bodies in turn. `check` says what is wrong with an answer, or nothing; `until` is asked with the
    load and the seconds so far whether it is over. Who still waits then hangs up."""
    load, gate, bodies = Load(callers), asyncio.Semaphore(OPENING), itertools.cycle(bodies)

    async def call():
        connection = Connection(address, gate)
        try:
            while True:
                start = time.monotonic()
                try:
                    problem = check(await connection.post(path, next(bodies)))
                except (OSError, asyncio.IncompleteReadError) as error:
                    problem = repr(error)
                end = time.monotonic()
                if problem:
                    load.failures.append(problem)
                    await asyncio.sleep(AFTER_FAILURE_S)
                else:
                    load.answers.append((end, end - start))
        finally:
            connection.close()

    worked, started = time.process_time(), time.monotonic()
    tasks = [asyncio.create_task(call()) for _ in range(callers)]
    while not until(load, time.monotonic() - started):
        await asyncio.sleep(LOOK_S)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    load.failures += [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]
    load.client_cores = (time.process_time() - worked) / (time.monotonic() - started)
    return load


async def alone(address, path, body, count, check):
    """Seconds of `count` requests, one after the other, behind one that is not counted."""
    connection, seconds = Connection(address), []
    try:
        for _ in range(count + 1):
            start = time.monotonic()
            problem = check(await connection.post(path, body))
            if problem:
                raise RuntimeError(problem)
            seconds.append(time.monotonic() - start)
    finally:
        connection.close()
    return seconds[1:]


def percentile(numbers, percent):
    """The smallest number that so many percent do not exceed; none of none."""
    numbers = sorted(numbers)
    return numbers[max(0, math.ceil(len(numbers) * percent / 100) - 1)] if numbers else None
