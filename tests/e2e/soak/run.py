"""One soak: traffic and pauses in turn, and SIGTERM under load at the end.

Callers send kinds of requests by weight (traffic.py), including incomplete ones and bytes that are not HTTP
(bad_clients.py), and bursts above the number of permits. At each pause the traffic stops, every model is
unloaded, and the resource use of the process is recorded (process_metrics.py).
"""
import asyncio
import signal
import time
from dataclasses import dataclass

import load
import servers
from soak import process_metrics, traffic
from soak.payloads import prepare_payloads
from soak.report import evaluate, log_lines
from soak.results import SoakResults

SAMPLE_INTERVAL_S = 10
IDLE_TIMEOUT_S = 60           # until all work is finished after the traffic has stopped
MODEL_CHANGE_INTERVAL_S = 6   # between changes of the models in use, so that others become idle


@dataclass(frozen=True)
class SoakOutcome:
    """A finished soak: its data, each check with whether it holds, the server's version."""
    soak: object
    checks: list
    version: str


class Soak:
    """One run: its traffic, its pauses, its samples and results."""

    def __init__(self, target, plan):
        self.target, self.plan, self.results = target, plan, SoakResults()
        self.started_s = time.perf_counter()
        self.samples, self.active, self.unfinished_work = [], 0, []
        self.traffic_on, self.is_finished = asyncio.Event(), False

    @property
    def at_s(self):
        return time.perf_counter() - self.started_s

    async def metrics(self):
        return await asyncio.to_thread(servers.metrics, self.target.url)

    async def run(self, payloads):
        """Traffic and pauses in turn, for the planned time."""
        plan = self.plan
        async with load.session() as client:
            callers = [traffic.Caller(self.target, payloads, client, self.results,
                                      traffic.caller_rng(plan.seed, number))
                       for number in range(plan.callers)]
            self.started_s = time.perf_counter()
            await self.pause(callers[0])
            tasks = [asyncio.create_task(self.send_requests(caller)) for caller in callers]
            tasks.append(asyncio.create_task(self.sample_metrics()))
            tasks.append(asyncio.create_task(self.change_models(callers)))
            self.traffic_on.set()
            while self.at_s < plan.minutes * 60:
                await asyncio.sleep(min(plan.round_s, max(0.1, plan.minutes * 60 - self.at_s)))
                self.traffic_on.clear()
                await self.pause(callers[0])
                if any(task.done() for task in tasks):
                    break
                self.traffic_on.set()
            self.is_finished = True
            self.traffic_on.set()
            await asyncio.gather(*tasks)

    async def send_requests(self, caller):
        while True:
            await self.traffic_on.wait()
            if self.is_finished:
                return
            self.active += 1
            try:
                await traffic.send_one(caller)
            finally:
                self.active -= 1

    async def sample_metrics(self):
        while not self.is_finished:
            if self.traffic_on.is_set():
                self.samples.append(process_metrics.sample(await self.metrics(), self.at_s, quiet=False))
            await asyncio.sleep(SAMPLE_INTERVAL_S)

    async def change_models(self, callers):
        """Uses all models or one of them in turn: the others become idle, are unloaded, and are loaded again later."""
        rng = traffic.caller_rng(self.plan.seed, "models")
        while not self.is_finished:
            models = self.target.models
            chosen = rng.choice((models, models, *((model,) for model in models)))
            for caller in callers:
                caller.models = chosen
            await asyncio.sleep(MODEL_CHANGE_INTERVAL_S)

    async def pause(self, caller):
        """Waits until nothing runs, unloads every model, and samples the resource use."""
        while self.active:
            await asyncio.sleep(0.05)
        until = time.perf_counter() + IDLE_TIMEOUT_S
        # A window of a caller that has disconnected ends with its batch.
        while (open_work := await self.open_work()) and time.perf_counter() < until:
            for model in self.target.models:
                await caller.send("DELETE", f"/api/ps/{model}")
            await asyncio.sleep(0.2)
        if open_work:
            self.unfinished_work.append({"at_s": round(self.at_s)} | open_work)
        await asyncio.sleep(self.plan.settle_s)
        self.samples.append(process_metrics.sample(await self.metrics(), self.at_s, quiet=True))

    async def open_work(self):
        """The figures that should be 0 without traffic and are not."""
        metrics = await self.metrics()
        connections = process_metrics.connections(self.target.address)
        return (process_metrics.nonzero_gauges(metrics) | ({"connections": connections} if connections else {})
                | ({"models": metrics["halkspeech_models_loaded"]} if metrics["halkspeech_models_loaded"] else {}))

    def idle_samples(self):
        return [one for one in self.samples if one.quiet]


async def stop_under_load(target, payloads, results, server):
    """Sends SIGTERM while requests run; returns the exit status. The requests are answered."""
    async with load.session() as client:
        caller = traffic.Caller(target, payloads, client, results, traffic.caller_rng(0, "stop"))
        running = [asyncio.create_task(traffic.plain(caller)) for _ in range(4)]
        for _ in range(200):
            await asyncio.sleep(0.02)
            if (await asyncio.to_thread(servers.metrics, target.url))["halkspeech_requests_in_flight"] == 4:
                break
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*running)
    return await asyncio.to_thread(server.process.wait, 60)


async def run(target, plan, folder, server=None):
    """Sends mixed traffic to a running server, and SIGTERM at the end if `server` is given; returns the outcome."""
    payloads = await prepare_payloads(target, plan, folder)
    print(f"clips: { {model: [clip.name for clip in clips] for model, clips in payloads.clips.items()} }", flush=True)
    soak = Soak(target, plan)
    await soak.run(payloads)
    final = await soak.metrics()
    version = next(name.split('"')[1] for name in final if name.startswith("halkspeech_build_info"))
    if server is None:
        return SoakOutcome(soak, evaluate(soak, final), version)
    stopped = await stop_under_load(target, payloads, soak.results, server)
    return SoakOutcome(soak, evaluate(soak, final, stopped, log_lines(server)), version)


def make_settings(plan, folder):
    """The settings file and the environment of the server: small limits, and models that are unloaded when idle."""
    first, *others = plan.models
    config = folder / "soak.toml"
    config.write_text("".join(f'[models."{model}"]\nmodel_ttl = 0\n' for model in others), encoding="utf-8")
    uploads = folder / "uploads"
    uploads.mkdir()
    return config, {
        "API_KEY": plan.key, "WHISPER__MODEL": first, "WHISPER__COMPUTE_TYPE": "int8", "WHISPER__MODEL_TTL": 2,
        "WHISPER__MAX_CONCURRENT_REQUESTS": plan.capacity, "WHISPER__MAX_QUEUE_SIZE": 64,
        "SERVER__MAX_UPLOAD_MIB": plan.upload_mib, "SERVER__UPLOAD_MEMORY_MIB": 1,
        "SERVER__READ_TIMEOUT_S": int(plan.read_timeout_s), "SERVER__REQUEST_TIMEOUT_S": plan.request_timeout_s,
        "SERVER__SHUTDOWN_TIMEOUT_S": 60, "LOG_FORMAT": "json", "HF_HUB_OFFLINE": 1, "HF_HUB_CACHE": folder / "hub",
        "TMPDIR": uploads}


def make_target(url, plan):
    return traffic.Target(url, plan.key, plan.models, plan.capacity, plan.upload_mib)
