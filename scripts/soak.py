#!/usr/bin/env python3
"""Holds a real server under mixed traffic for an hour: good requests, bad ones, callers that leave, models that go.

usage: soak.py --binary PATH --models DIR [--manifest FILE] [--minutes 60] [--out FOLDER]
       soak.py --url URL --key KEY --capacity N --upload-mib N --read-timeout-s N ...

Starts the server with a key and small limits, and with models that are unloaded as soon as nobody uses them. Callers
send kinds of requests by weight (soaking/traffic.py), among them such as leave, stand still or send no HTTP
(soaking/rude.py), and bursts of more than there are places. From time to time the traffic stops, every model is
unloaded, and what the process takes is written down (soaking/vitals.py). Fails unless

  answers   each request that was sent whole got exactly one answer, of a status that it was made for, errors in
            OpenAI's shape, 429 and 503 with retry-after; 5xx only where they were provoked
  texts     a clip has one text for one wish, whoever else was there
  overload  some requests met a full server and were told so
  memory    resident memory, open files and threads at quiet points do not grow from the second sixth to the last
  gauges    nothing is left in the server whenever the traffic stops
  models    none failed to load
  log       no error and no panic but provoked ones
  stop      SIGTERM under load: running requests are answered, the exit status is 0

With --url the server is one that runs already, and the last two are left out. Needs `pip install aiohttp`.
"""
import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time

import load
import servers
from soaking import traffic, vitals
from soaking.ledger import Ledger
from soaking.material import find_material
from soaking.report import as_json, judge, log_lines, markdown

SAMPLE_EVERY_S = 10
LINGERS_S = 60            # may pass until nothing is left of what was asked
SLICE_S = 6               # for so long the same models are in use, so that others become idle
KEY = "soak-key-0b5e"


class Soak:
    """One run: its traffic, its pauses, what was seen."""

    def __init__(self, target, args):
        self.target, self.args, self.ledger = target, args, Ledger()
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
        args = self.args
        async with load.session() as client:
            callers = [traffic.Caller(self.target, material, client, self.ledger, traffic.row_of(args.seed, number))
                       for number in range(args.callers)]
            self.begun = time.perf_counter()
            await self.pause(callers[0])
            tasks = [asyncio.create_task(self.keep_sending(caller)) for caller in callers]
            tasks.append(asyncio.create_task(self.keep_sampling()))
            tasks.append(asyncio.create_task(self.change_models(callers)))
            self.go.set()
            while self.at_s < args.minutes * 60:
                await asyncio.sleep(min(args.round_s, max(0.1, args.minutes * 60 - self.at_s)))
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
        chance = traffic.row_of(self.args.seed, "models")
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
        await asyncio.sleep(self.args.settle_s)
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


async def run(target, args, folder, server=None):
    """The whole soak against a server that runs; every check, and the report's parts."""
    material = await find_material(target, args, folder)
    print(f"clips: { {model: [clip.name for clip in clips] for model, clips in material.clips.items()} }", flush=True)
    soak = Soak(target, args)
    await soak.run(material)
    final = await soak.metrics()
    version = next(name.split('"')[1] for name in final if name.startswith("halkspeech_build_info"))
    if server is None:
        return soak, judge(soak, final), version
    stopped = await stop_under_load(target, material, soak.ledger, server)
    return soak, judge(soak, final, stopped, log_lines(server)), version


def settings_of(args, folder):
    """The environment and the file of the server that is soaked: small bounds, and models that do not stay."""
    first, *rest = args.model
    config = os.path.join(folder, "soak.toml")
    with open(config, "w", encoding="utf-8") as file:
        file.writelines(f'[models."{model}"]\nmodel_ttl = 0\n' for model in rest)
    uploads = os.path.join(folder, "uploads")
    os.mkdir(uploads)
    return config, servers.environment(
        API_KEY=KEY, WHISPER__MODEL=first, WHISPER__COMPUTE_TYPE="int8", WHISPER__MODEL_TTL=2,
        WHISPER__MAX_CONCURRENT_REQUESTS=args.capacity, WHISPER__MAX_QUEUE_SIZE=64,
        SERVER__MAX_UPLOAD_MIB=args.upload_mib, SERVER__UPLOAD_MEMORY_MIB=1,
        SERVER__READ_TIMEOUT_S=int(args.read_timeout_s), SERVER__REQUEST_TIMEOUT_S=args.request_timeout_s,
        SERVER__SHUTDOWN_TIMEOUT_S=60, LOG_FORMAT="json", HF_HUB_OFFLINE=1, HF_HUB_CACHE=os.path.join(folder, "hub"),
        TMPDIR=uploads)


def target(url, args):
    return traffic.Target(url, args.key, tuple(args.model), args.capacity, args.upload_mib)


def main(args):
    with tempfile.TemporaryDirectory(prefix="halkspeech-soak-") as folder:
        if args.url:
            result = asyncio.run(run(target(args.url, args), args, folder))
        else:
            config, env = settings_of(args, folder)
            port = servers.free_port()
            command = [os.path.abspath(args.binary), "serve", "--config", config, "--host", "127.0.0.1",
                       "--port", str(port), "--models-dir", os.path.abspath(args.models)]
            with servers.running("soak", command, env, f"http://127.0.0.1:{port}", "/ready") as server:
                result = asyncio.run(run(target(server.url, args), args, folder, server))
    soak, checks, version = result
    report = markdown(soak, checks, args, version)
    print(report)
    if args.out:
        os.makedirs(args.out, exist_ok=True)
        with open(os.path.join(args.out, "soak.md"), "w", encoding="utf-8") as file:
            file.write(report)
        with open(os.path.join(args.out, "soak.json"), "w", encoding="utf-8") as file:
            json.dump(as_json(soak, checks, args, version), file, indent=1, ensure_ascii=False)
    if not args.url:
        print(f"logs: {servers.log_folder()}")
    return 0 if all(holds for _, holds, _ in checks) else 1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the halkspeech program")
    parser.add_argument("--models", help="the folder that holds the models")
    parser.add_argument("--model", default="base,tiny.en", type=lambda text: text.split(","),
                        help="the models in use: the first knows all languages, the others are unloaded at once")
    parser.add_argument("--manifest", help="recordings with their texts; without it the sample alone")
    parser.add_argument("--sample", default=os.path.expanduser("~/.cache/halkspeech/samples/jfk.wav"))
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--round-s", type=float, help="seconds of traffic between two pauses; 24 rounds by default")
    parser.add_argument("--settle-s", type=float, default=2, help="seconds of rest in a pause before memory is read")
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--long-s", type=float, default=120, help="seconds of the long recording")
    parser.add_argument("--capacity", type=int, default=12, help="MAX_CONCURRENT_REQUESTS")
    parser.add_argument("--upload-mib", type=int, default=8, help="MAX_UPLOAD_MIB")
    parser.add_argument("--read-timeout-s", type=float, default=4, help="READ_TIMEOUT_S")
    parser.add_argument("--request-timeout-s", type=int, default=90, help="REQUEST_TIMEOUT_S")
    parser.add_argument("--url", help="a server that runs already")
    parser.add_argument("--key", default=KEY, help="its key")
    parser.add_argument("--out", help="a folder for soak.md and soak.json")
    args = parser.parse_args()
    if not args.url and not (args.binary and args.models):
        parser.error("give --binary and --models, or --url")
    args.round_s = args.round_s or min(180.0, max(8.0, args.minutes * 60 / 24))
    return args


if __name__ == "__main__":
    servers.end_on_sigterm()
    sys.exit(main(arguments()))
