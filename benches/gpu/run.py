#!/usr/bin/env python3
"""Measures the server on a GPU, in ten minutes and with one command.

usage: run.py --binary PATH [--out FOLDER] [--cublas DIR] [--real-model DIR --clips DIR]
              [--profiles ultra-fast,beast,quality,extreme] [--cells 30:5,2-30:5,5:5,30:1] [--callers N]
              [--seconds-per-profile 90]
       run.py --binary PATH --dry-run cpu

It compares the texts of a real model on the GPU with those on the CPU, then measures each profile with random weights
in the shape of its model: windows per minute, latency, memory. A cell is the length of a clip in seconds, or a range of
lengths, and the number of beams. results.json, table.md and the servers' logs are written to FOLDER. The dry run does
the same on a CPU, with a tiny shape. Exit status 1: a request or a step failed. README.md lists the requirements. Needs
Python 3.9.
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

import clips
import gpu
import report
import speed
import texts
import verdict
from profiles import PROFILES

# Time of a profile in addition to its load: writing the model, loading it, single requests.
PROFILE_OVERHEAD_S = 30
DRY_SECONDS = 16


class Stopped(KeyboardInterrupt):
    """The time limit or a signal ended the run. A KeyboardInterrupt, since asyncio propagates no other kind."""


@dataclass
class Folders:
    out: str
    models: str


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, type=os.path.abspath)
    parser.add_argument("--out", default="gpu-results", type=os.path.abspath)
    parser.add_argument("--cublas", default=None, help="the folder of libcublas.so.13, if the linker does not find it")
    parser.add_argument("--real-model", default=None, help="the folder of a model with weights, such as tiny.en")
    parser.add_argument("--clips", default=None, help="a folder of recordings of speech")
    parser.add_argument("--max-clips", type=int, default=80)
    parser.add_argument("--language", default="en", help="their language; all: the languages in their manifest")
    parser.add_argument("--profiles", default=",".join(profile.name for profile in PROFILES))
    parser.add_argument("--cells", default="30:5,2-30:5,5:5,30:1", type=cells)
    parser.add_argument("--callers", type=int, default=None, help="in a closed loop; default: twice the batch size")
    parser.add_argument("--seconds-per-profile", type=float, default=None, help="of load; default: 90, in a dry run 16")
    parser.add_argument("--total-seconds", type=int, default=585, help="time limit of the run")
    parser.add_argument("--tokens", type=int, default=100, help="in the text of each window")
    parser.add_argument("--scratch", default=None, help="folder for temporary models: 4 GB")
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
    return gpu.describe() | {"cores": os.cpu_count(), "system": platform.platform(), "server": version,
                             "python": platform.python_version()}


def run(args, results, folders, until):
    """Fills `results` step by step; a failed step is recorded as a problem, and the run continues with the next."""
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
        step("texts", PROFILE_OVERHEAD_S, lambda: results.update(texts=texts.compare(args, folders)))
    else:
        print("texts are not compared: that needs --real-model and --clips")
    for index, profile in enumerate(args.profiles):
        def measure(profile=profile):
            results["profiles"].append({})
            speed.measure(profile, args, folders, results["profiles"][-1])

        step(profile.name, args.seconds_per_profile + PROFILE_OVERHEAD_S, measure)
        later = [other.shape for other in args.profiles[index + 1:]]
        if profile.shape not in later:
            shutil.rmtree(folders.models, ignore_errors=True)
            os.makedirs(folders.models)


def main():
    args = arguments()
    # Each connection needs a file descriptor on both sides.
    _, max_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))
    until = time.monotonic() + args.total_seconds

    endings = (signal.SIGALRM, signal.SIGTERM, signal.SIGINT)

    def stop(number, _frame):
        # Ignores further signals while the servers are stopped.
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
