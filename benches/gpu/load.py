"""Closed-loop load: each caller sends its next request as soon as the last one is answered."""
import asyncio
import itertools
import math
import time
from dataclasses import dataclass, field

from connection import Connection

# Delay of a caller after a failure, to avoid a tight loop.
AFTER_FAILURE_S = 0.2
# Maximum number of connections opened concurrently: the kernel's queue of unaccepted connections is short.
MAX_OPENING = 64
# Interval of checks for the end of a load.
CHECK_INTERVAL_S = 0.1
# Maximum time between two answers of one batch.
BURST_S = 0.2


@dataclass
class Load:
    """Answers as pairs of arrival time and latency in seconds, and descriptions of failures."""
    callers: int
    answers: list = field(default_factory=list)
    failures: list = field(default_factory=list)
    # Processor time of the sending process per second, in cores.
    client_cores: float = 0.0

    def steady(self, batch_size):
        """Requests per minute from the end of the first batch to the last answer, and the latencies of those requests.
        Answers arrive in batches, so both ends are the last answer of a batch: a count between fixed times would be
        wrong by up to a batch.
        """
        answers = sorted(self.answers)
        times = [at for at, _ in answers]
        ends = [at for at, later in zip(times, [*times[1:], math.inf]) if later - at > BURST_S]
        start = next((at for at in ends if len(times) >= batch_size and at >= times[batch_size - 1]), math.inf)
        later_answers = [answer for answer in answers if answer[0] > start]
        if len(later_answers) < batch_size // 2:
            return None, [latency for _, latency in answers]
        rate = 60 * len(later_answers) / (later_answers[-1][0] - start)
        return rate, [latency for _, latency in later_answers]


async def closed_loop(address, path, bodies, callers, until, check):
    """Callers take the bodies in turn.

    `check` returns the problem of an answer, or None; `until` returns, from the load and the elapsed seconds, whether
    it has ended. Callers that still wait then close their connections.
    """
    load, gate, bodies = Load(callers), asyncio.Semaphore(MAX_OPENING), itertools.cycle(bodies)

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

    processor_time, started = time.process_time(), time.monotonic()
    tasks = [asyncio.create_task(call()) for _ in range(callers)]
    while not until(load, time.monotonic() - started):
        await asyncio.sleep(CHECK_INTERVAL_S)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    load.failures += [repr(end) for end in ends if not isinstance(end, asyncio.CancelledError)]
    load.client_cores = (time.process_time() - processor_time) / (time.monotonic() - started)
    return load


async def alone(address, path, body, count, check):
    """Latencies in seconds of `count` sequential requests, after one that is not counted."""
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
    """The nearest-rank percentile; None of an empty list."""
    numbers = sorted(numbers)
    return numbers[max(0, math.ceil(len(numbers) * percent / 100) - 1)] if numbers else None
