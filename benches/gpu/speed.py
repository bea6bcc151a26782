"""Measures one profile: a model with random weights, a single caller, then twice as many callers as the batch size."""
import asyncio
import os
import statistics
import time

import gpu
import load
import shapes
from connection import target
from metrics import Metrics
from server import Server
from write_model import write_model

CALLERS_PER_WINDOW = 2
SINGLE_REQUESTS = 3
# Minimum number of answered batches in a cell, the first of which is not counted; to reach it, a cell may take twice
# its time.
MIN_BATCHES, MAX_TIME_FACTOR = 3, 2
# Disables every rule that rejects a text: random weights generate improbable text, which would be generated again at
# other temperatures.
ACCEPT_ANY_TEXT = {"temperature": "[0]", "compression_ratio_threshold": "none", "logprob_threshold": "none",
                   "no_speech_threshold": "none"}


def measure(profile, args, folders, result):
    """Fills in `result`, an entry of results.json. `folders` has the folders of models and of logs."""
    model = f"random-{profile.shape.replace(',', '-')}"
    result |= {"profile": profile.name, "shape": profile.shape, "batch_size": profile.batch_size,
               "text_tokens": args.tokens, "cells": []}
    folder = os.path.join(folders.models, model)
    if not os.path.exists(folder):
        started = time.monotonic()
        size = write_model(shapes.parse(profile.shape), folder, "float16", args.tokens)
        print(f"  wrote {folder}: {size / 1e6:.0f} MB in {time.monotonic() - started:.1f} s", flush=True)
    settings = {"MODELS_DIR": folders.models, "WHISPER__MODEL": model,
                **profile.settings(args.device, args.compute_type)}
    log = os.path.join(folders.out, f"{profile.name}.log")
    result["memory_before_mib"] = gpu.used_mib()
    with Server(args.binary, settings, log, args.cublas) as server, gpu.MemoryWatch(server) as watch:
        result["ready_after_s"] = server.ready_after_s
        result["plan"] = server.get_json(f"/v1/models/{model}").get("plan")
        print(f"  ready after {server.ready_after_s:.1f} s; plan: {result['plan']}", flush=True)
        asyncio.run(measure_cells(profile, args, server, model, result["cells"]))
    result["memory_peak_mib"] = watch.peak_mib
    result["memory_gauge_peak_mib"] = watch.gauge_peak_mib


async def measure_cells(profile, args, server, model, cells):
    def check(answer):
        if answer.status != 200:
            return f"status {answer.status}: {answer.body[:200].decode(errors='replace')}"
        words = len(answer.text().split())
        return None if words == args.tokens else f"a text of {words} words, not {args.tokens}"

    def path(beam):
        return target({"model": model, "language": "en", "vad_filter": "false", "beam_size": beam,
                       **ACCEPT_ANY_TEXT})

    audio = {lengths: lengths.clips() for lengths, _ in args.cells}
    # Single requests first: after a load the engine may still be running the last batch.
    for lengths, beam in args.cells:
        alone_s = await load.alone(server.address, path(beam), audio[lengths][0], SINGLE_REQUESTS,
                                   check)
        cells.append({"clip_s": str(lengths), "beam": beam, "lone_s": statistics.median(alone_s)})
    callers = min(args.callers or CALLERS_PER_WINDOW * profile.batch_size, profile.max_concurrent_requests)
    cell_s = args.seconds_per_profile / len(args.cells)

    def until(loaded, seconds):
        has_enough = len(loaded.answers) >= MIN_BATCHES * profile.batch_size
        return seconds >= (cell_s if has_enough else MAX_TIME_FACTOR * cell_s)

    for (lengths, _), cell in zip(args.cells, cells):
        before = Metrics(await asyncio.to_thread(server.get, "/metrics"))
        loaded = await load.closed_loop(server.address, path(cell["beam"]), audio[lengths], callers, until, check)
        after = Metrics(await asyncio.to_thread(server.get, "/metrics"))
        rate, latencies = loaded.steady(profile.batch_size)
        cell |= {
            "callers": callers, "answers": len(loaded.answers), "failures": len(loaded.failures),
            "first_failures": loaded.failures[:3], "windows_a_minute": rate,
            "p50_s": load.percentile(latencies, 50), "p95_s": load.percentile(latencies, 95),
            "client_cores": loaded.client_cores,
            "mean_batch": after.mean_since(before, "halkspeech_batch_windows"),
            "generated_again": after.since(before, "halkspeech_windows_repeated_total"),
            "engine_failures": after.since(before, "halkspeech_jobs_failed_total"),
            "mean_seconds": {name: after.mean_since(before, name) for name in after.histograms("_seconds")},
        }
        print(f"  {describe(cell)}", flush=True)


def describe(cell):
    rate = "too few answers for a rate" if cell["windows_a_minute"] is None else (
        f"{cell['windows_a_minute']:.0f} windows a minute, p50 {cell['p50_s']:.2f} s, p95 {cell['p95_s']:.2f} s")
    return (f"{cell['clip_s']} s, beam {cell['beam']}: alone {cell['lone_s']:.2f} s; {cell['callers']} callers: "
            f"{rate}, {cell['answers']} answers, {cell['failures']} failed")
