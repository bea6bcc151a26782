"""One soak: traffic and pauses in turn, and SIGTERM under load at the end.

Callers send kinds of requests by weight (traffic.py), among them such as leave, stand still or send no HTTP (rude.py),
and bursts of more than there are permits. From time to time the traffic stops, every model is unloaded, and what the
process takes is written down (vitals.py).
"""
import asyncio
import signal
import time
from dataclasses import dataclass

import load
import servers
from soaking import traffic, vitals
from soaking.ledger import Ledger
from soaking.material import find_material
from soaking.report import judge, log_lines

SAMPLE_EVERY_S = 10
LINGERS_S = 60            # may pass until nothing is left of what was asked
SLICE_S = 6               # for so long the same models are in use, so that others become idle


@dataclass(frozen=True)
class Outcome:
    """What came of a soak: what was seen, each check with whether it holds, the server's version."""
    soak: object
    checks: list
    version: str


class Soak:
    """One run: its traffic, its pauses, what was seen."""

    def __init__(self, target, plan):
        self.target, self.plan, self.ledger = target, plan, Ledger()
        self.begun = time.perf_counter()
        self.samples, self.active, self.left_inside = [], 0, []
        self.go, self.over = asyncio.Event(), False

    @property
    def at_s(self):
        return time.perf_counter() - self.begun

    async def metrics(self):
        return await asyncio.to_thread(servers.metrics, self.target.url)

    async def run(self, material):
        """Traffic and pauses in turn, for the whole time."""
        plan = self.plan
        async with load.session() as client:
            callers = [traffic.Caller(self.target, material, client, self.ledger, traffic.row_of(plan.seed, number))
                       for number in range(plan.callers)]
            self.begun = time.perf_counter()
            await self.pause(callers[0])
            tasks = [asyncio.create_task(self.keep_sending(caller)) for caller in callers]
            tasks.append(asyncio.create_task(self.keep_sampling()))
            tasks.append(asyncio.create_task(self.change_models(callers)))
            self.go.set()
            while self.at_s < plan.minutes * 60:
                await asyncio.sleep(min(plan.round_s, max(0.1, plan.minutes * 60 - self.at_s)))
                self.go.clear()
                await self.pause(callers[0])
                if any(task.done() for task in tasks):
                    break
                self.go.set()
            self.over = True
            self.go.set()
            await asyncio.gather(*tasks)

    async def keep_sending(self, caller):
        while True:
            await self.go.wait()
            if self.over:
                return
            self.active += 1
            try:
                await traffic.send_one(caller)
            finally:
                self.active -= 1

    async def keep_sampling(self):
        while not self.over:
            if self.go.is_set():
                self.samples.append(vitals.sample(await self.metrics(), self.at_s, quiet=False))
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def change_models(self, callers):
        """All models in use, or one of them: the rest is idle then and goes, and is loaded again afterwards."""
        chance = traffic.row_of(self.plan.seed, "models")
        while not self.over:
            models = self.target.models
            chosen = chance.choice((models, models, *((model,) for model in models)))
            for caller in callers:
                caller.models = chosen
            await asyncio.sleep(SLICE_S)

    async def pause(self, caller):
        """Waits until nothing runs, unloads every model, and writes down what the process takes then."""
        while self.active:
            await asyncio.sleep(0.05)
        until = time.perf_counter() + LINGERS_S
        # Whoever hung up is gone once the batch is over that its windows are in.
        while (left := await self.inside()) and time.perf_counter() < until:
            for model in self.target.models:
                await caller.ask("DELETE", f"/api/ps/{model}")
            await asyncio.sleep(0.2)
        if left:
            self.left_inside.append({"at_s": round(self.at_s)} | left)
        await asyncio.sleep(self.plan.settle_s)
        self.samples.append(vitals.sample(await self.metrics(), self.at_s, quiet=True))

    async def inside(self):
        """What should be 0 when nobody asks for anything, where it is not."""
        metrics = await self.metrics()
        connections = vitals.connections(self.target.address)
        return (vitals.busy(metrics) | ({"connections": connections} if connections else {})
                | ({"models": metrics["halkspeech_models_loaded"]} if metrics["halkspeech_models_loaded"] else {}))

    def quiet(self):
        return [one for one in self.samples if one.quiet]


async def stop_under_load(target, material, ledger, server):
    """SIGTERM while requests run: those are answered, and the process ends with 0."""
    async with load.session() as client:
        caller = traffic.Caller(target, material, client, ledger, traffic.row_of(0, "stop"))
        running = [asyncio.create_task(traffic.plain(caller)) for _ in range(4)]
        for _ in range(200):
            await asyncio.sleep(0.02)
            if (await asyncio.to_thread(servers.metrics, target.url))["halkspeech_requests_in_flight"] == 4:
                break
        server.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*running)
    return await asyncio.to_thread(server.process.wait, 60)


async def run(target, plan, folder, server=None):
    """Mixed traffic against a server that runs, and for one of ours SIGTERM at the end; what came of it."""
    material = await find_material(target, plan, folder)
    print(f"clips: { {model: [clip.name for clip in clips] for model, clips in material.clips.items()} }", flush=True)
    soak = Soak(target, plan)
    await soak.run(material)
    final = await soak.metrics()
    version = next(name.split('"')[1] for name in final if name.startswith("halkspeech_build_info"))
    if server is None:
        return Outcome(soak, judge(soak, final), version)
    stopped = await stop_under_load(target, material, soak.ledger, server)
    return Outcome(soak, judge(soak, final, stopped, log_lines(server)), version)


def settings_of(plan, folder):
    """The settings file and the environment of the server that is soaked: small bounds, and models that do not stay."""
    first, *rest = plan.models
    config = folder / "soak.toml"
    config.write_text("".join(f'[models."{model}"]\nmodel_ttl = 0\n' for model in rest), encoding="utf-8")
    uploads = folder / "uploads"
    uploads.mkdir()
    return config, {
        "API_KEY": plan.key, "WHISPER__MODEL": first, "WHISPER__COMPUTE_TYPE": "int8", "WHISPER__MODEL_TTL": 2,
        "WHISPER__MAX_CONCURRENT_REQUESTS": plan.capacity, "WHISPER__MAX_QUEUE_SIZE": 64,
        "SERVER__MAX_UPLOAD_MIB": plan.upload_mib, "SERVER__UPLOAD_MEMORY_MIB": 1,
        "SERVER__READ_TIMEOUT_S": int(plan.read_timeout_s), "SERVER__REQUEST_TIMEOUT_S": plan.request_timeout_s,
        "SERVER__SHUTDOWN_TIMEOUT_S": 60, "LOG_FORMAT": "json", "HF_HUB_OFFLINE": 1, "HF_HUB_CACHE": folder / "hub",
        "TMPDIR": uploads}


def target_of(url, plan):
    return traffic.Target(url, plan.key, plan.models, plan.capacity, plan.upload_mib)
