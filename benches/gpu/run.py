#!/usr/bin/env python3
"""Measures the server on a card, in ten minutes and with one command.

usage: run.py --binary PATH [--out FOLDER] [--cublas DIR] [--real-model DIR --clips DIR]
              [--profiles ultra-fast,beast,quality,extreme] [--cells 30:5,2-30:5,5:5,30:1] [--callers N]
              [--seconds-per-profile 90]
       run.py --binary PATH --dry-run cpu

It holds the texts of a real model on the card against those on the processor, then measures each profile with random
weights in the shape of its model: windows a minute, latency, memory. A cell is seconds of a clip, or the least and the
most of them, and beams. FOLDER gets results.json, table.md and the servers' logs. The dry run goes the same way on a
processor, with a tiny shape. Exit status 1: a request failed, or a step did. README.md says what to bring to the
machine. Needs Python 3.9.
"""
import argparse
import datetime
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import card
import clips
import report
import speed
import texts
import verdict
from profiles import PROFILES

# A profile is not begun when less than this is left beside its own seconds: writing, loading, lone requests.
AROUND_PROFILE_S = 30
DRY_SECONDS = 16


class Stopped(KeyboardInterrupt):
    """The time is over, or somebody ends the run. asyncio hands on no other kind from within a task."""


@dataclass
class Folders:
    out: str
    models: str


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, type=os.path.abspath)
    parser.add_argument("--out", default="gpu-results", type=os.path.abspath)
    parser.add_argument("--cublas", default=None, help="the folder of libcublas.so.13, where the linker misses it")
    parser.add_argument("--real-model", default=None, help="the folder of a model with weights, such as tiny.en")
    parser.add_argument("--clips", default=None, help="a folder of recordings of speech")
    parser.add_argument("--most-clips", type=int, default=80)
    parser.add_argument("--language", default="en", help="what is spoken in them; all: what their manifest says")
    parser.add_argument("--profiles", default=",".join(profile.name for profile in PROFILES))
    parser.add_argument("--cells", default="30:5,2-30:5,5:5,30:1", type=cells)
    parser.add_argument("--callers", type=int, default=None, help="that never pause; twice as many as a batch holds")
    parser.add_argument("--seconds-per-profile", type=float, default=None, help="of load; 90, in a dry run 16")
    parser.add_argument("--total-seconds", type=int, default=585, help="after which everything is stopped")
    parser.add_argument("--tokens", type=int, default=100, help="in the text of each window")
    parser.add_argument("--scratch", default=None, help="where models are written for the time of the run: 4 GB")
    parser.add_argument("--dry-run", choices=["cpu"], default=None)
    args = parser.parse_args()
    args.device, args.compute_type = ("cpu", "int8") if args.dry_run else ("cuda", "float16")
    args.seconds_per_profile = args.seconds_per_profile or (DRY_SECONDS if args.dry_run else 90)
    names = args.profiles.split(",")
    args.profiles = [profile for profile in PROFILES if profile.name in names]
    if len(args.profiles) != len(names):
        parser.error(f"profiles are {', '.join(profile.name for profile in PROFILES)}")
    if args.dry_run:
        args.profiles = [profile.for_dry_run() for profile in args.profiles]
    return args


def cells(text):
    found = [cell.split(":", 1) for cell in text.split(",")]
    return [(clips.Lengths(*(int(number) for number in seconds.split("-", 1))), int(beam)) for seconds, beam in found]


def machine(args):
    version = subprocess.run([args.binary, "--version"], capture_output=True, text=True, timeout=30).stdout.strip()
    return card.describe() | {"cores": os.cpu_count(), "system": platform.platform(), "server": version,
                              "python": platform.python_version()}


def run(args, results, folders, until):
    """Fills `results` step by step; a step that fails is a problem, and the next one is gone on with."""
    def step(name, seconds, work):
        if time.monotonic() + seconds > until:
            results["problems"].append(f"{name}: no time left")
            return
        print(name, flush=True)
        try:
            work()
        except Exception as error:
            results["problems"].append(f"{name}: {error}")
            print(f"  failed: {error}", flush=True)
        report.write(folders.out, results)

    if args.real_model and args.clips:
        step("texts", AROUND_PROFILE_S, lambda: results.update(texts=texts.compare(args, folders)))
    else:
        print("texts are not compared: that takes --real-model and --clips")
    for index, profile in enumerate(args.profiles):
        def measure(profile=profile):
            results["profiles"].append({})
            speed.measure(profile, args, folders, results["profiles"][-1])

        step(profile.name, args.seconds_per_profile + AROUND_PROFILE_S, measure)
        later = [other.shape for other in args.profiles[index + 1:]]
        if profile.shape not in later:
            shutil.rmtree(folders.models, ignore_errors=True)
            os.makedirs(folders.models)


def main():
    args = arguments()
    # A connection takes a file on either side.
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    until = time.monotonic() + args.total_seconds

    endings = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)

    def stop(number, _frame):
        # Once is enough: what follows stops the servers.
        for ending in endings:
            signal.signal(ending, signal.SIG_IGN)
        raise Stopped(f"stopped by {signal.Signals(number).name}")

    for ending in endings:
        signal.signal(ending, stop)
    signal.alarm(args.total_seconds)
    os.makedirs(args.out, exist_ok=True)
    results = {"date": datetime.date.today().isoformat(), "command": " ".join(["run.py", *sys.argv[1:]]),
               "machine": machine(args), "profiles": [], "problems": []}
    print(*(f"{name}: {value}" for name, value in results["machine"].items()), sep="\n", flush=True)
    scratch = tempfile.mkdtemp(prefix="halkspeech-gpu-", dir=args.scratch)
    try:
        run(args, results, Folders(args.out, scratch), until)
    except Stopped as stopped:
        results["problems"].append(str(stopped))
    finally:
        results["problems"] += verdict.problems(results["profiles"])
        shutil.rmtree(scratch, ignore_errors=True)
        report.write(args.out, results)
    print()
    print(report.table(results))
    sys.exit(1 if results["problems"] else 0)


if __name__ == "__main__":
    main()
