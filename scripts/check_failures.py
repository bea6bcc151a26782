#!/usr/bin/env python3
"""Makes a real server meet every fault that can be provoked from outside, and prints what came of each as a table.

usage: check_failures.py --binary PATH --models DIR [--sample FILE] [--only download,disk,...] [--out FILE]

Kills, full and read-only disks, damaged models, too little memory, taken ports, signals, exhausted descriptors. Each
row says what the caller saw, what the log said and how it went on; the script fails unless every fault ended as it
should. What only a fake engine can provoke is held by tests in Rust, which the table names in its end.

Needs tiny.en, its sample, Linux, and root: disks are mounted (tmpfs), and servers run as another user (setpriv).
"""
import argparse
import os
import shutil
import sys
import tempfile

import servers
from failures import models, process, storage
from failures.bench import Bench

# Fault, what the caller sees, what the log says, how it goes on, the test that holds it.
HELD_BY_TESTS = (
    ("a card is out of memory", "200", "`device is out of memory, taking fewer windows`",
     "the same windows run in half as large parts, and the engine keeps to that",
     "`engine/batch_split.rs`: `what_is_too_much_for_the_memory_is_run_in_parts_and_remembered`"),
    ("one window alone is too much for a card", "500 after its tries", "`request failed`",
     "the next request is served", "`engine/batch_split.rs`: `a_window_that_never_fits_fails_after_its_tries`"),
    ("an engine fails on one window of a batch", "500 for its request, 200 for the others",
     "`batch failed, trying its halves`", "the next batch runs on the same engine",
     "`tests/api/batching.rs`: `an_error_on_one_window_fails_that_request_alone`"),
    ("an engine panics", "200; 500 where it panics a second time", "`engine panicked`",
     "each window of the broken batch that has no answer yet is tried once more, alone, on a new engine",
     "`tests/api/batching.rs`: `a_panic_on_one_window_fails_that_request_alone`"),
    ("the last engine of a model dies", "500 for what waited",
     "`all engines have ended, loading the model again`", "the next request loads the model again",
     "`tests/api/batching.rs`: `a_model_without_engines_is_loaded_again`"),
    ("the hub breaks off, stalls, or sends another file", "201; 504 or 502 where it lasts",
     "`model could not be downloaded`", "what has come stays, what is wrong is thrown away; the next request goes on",
     "`tests/api/hub/broken_transfers.rs`"),
)
SEEN = ("fault", "what the caller saw", "what the log said", "how it recovered")
HELD = ("fault", "what the caller sees", "what the log says", "how it goes on", "held by")


def table(rows):
    """Markdown, a row a fault."""
    cells = lambda *parts: "| " + " | ".join(str(part).replace("|", "/").replace("\n", " ") for part in parts) + " |"
    lines = [cells(*SEEN), "|" + "---|" * len(SEEN)]
    lines += [cells(row.fault, row.caller, row.log, row.recovery) for row in rows]
    lines += ["", cells(*HELD), "|" + "---|" * len(HELD)]
    return "\n".join(lines + [cells(*row) for row in HELD_BY_TESTS]) + "\n"


def main(args):
    faults = [fault for room in (storage, models, process) for fault in room.FAULTS]
    chosen = [fault for fault in faults if not args.only or any(word in fault.__name__ for word in args.only)]
    if not chosen:
        names = ", ".join(fault.__name__ for fault in faults)
        sys.exit(f"no fault has one of the words {', '.join(args.only)} in its name; there are {names}")
    rows = []
    with tempfile.TemporaryDirectory(prefix="halkspeech-failures-") as folder:
        os.chmod(folder, 0o755)
        # Where another user may run and read them.
        binary = shutil.copy(args.binary, os.path.join(folder, "halkspeech"))
        ours = os.path.join(folder, "models")
        shutil.copytree(os.path.join(args.models, "tiny.en"), os.path.join(ours, "tiny.en"))
        for place, folders, files in os.walk(ours):
            for name in files:
                os.chmod(os.path.join(place, name), 0o644)
        bench = Bench(binary, ours, args.sample, folder)
        for fault in chosen:
            print(f"{fault.__name__} …", file=sys.stderr, flush=True)
            for row in fault(bench):
                rows.append(row)
                print(f"  {'PASS' if row.holds else 'FAIL'} {row.fault}: {row.caller} / {row.log} / {row.recovery}",
                      file=sys.stderr, flush=True)
    print(table(rows))
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            file.write(table(rows))
    failed = [row.fault for row in rows if not row.holds]
    print(f"{len(rows) - len(failed)} of {len(rows)} as they should be; not: {'; '.join(failed) or 'none'}")
    print(f"logs: {servers.log_folder()}")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the halkspeech program")
    parser.add_argument("--models", required=True, help="the folder that holds tiny.en")
    parser.add_argument("--sample", default=os.path.expanduser("~/.cache/halkspeech/samples/jfk.wav"))
    parser.add_argument("--only", type=lambda text: text.split(","), help="faults whose names have one of these words")
    parser.add_argument("--out", help="a file for the table")
    if os.geteuid():
        parser.error("this mounts disks and runs servers as another user: it needs root")
    servers.end_on_sigterm()
    sys.exit(main(parser.parse_args()))
