#!/usr/bin/env python3
"""How a HalkSpeech server takes more and more callers: throughput, latency, batches. Starts the server itself.

usage: scaling.py --binary PATH --models DIR --manifest FILE [--callers 1,4,16,64,256] [--seconds 30] [--quick]

Callers of `halkspeech bench` send a clip of at most 12 s as soon as the last is answered, once for each caller and then
for the given seconds or the time of three answers to each caller, whichever is longer.
Checks that throughput never falls by more than 5 % from its best as callers grow, and that the 95th percentile grows
no faster than the queue: at most 1.3 times callers / throughput, plus what it has over that with the fewest callers,
where it is the clips' own lengths that differ. Prints a Markdown table and draws a chart.
"""
import argparse

import bench
import servers
from chart import draw

LONGEST_S = 12
FALL = 0.95
SPREAD = 1.3


def measure(program, url, callers, args):
    """A row of the table."""
    clips = ["--manifest", args.manifest, "--kind", "short,telephone", "--max-s", LONGEST_S, "--model", "base",
             "--send-language", "--form", f"beam_size={args.beam}", "--timeout-s", 900]
    first = bench.closed_loop(program, url, callers, *clips, "--requests", callers, "--warmup", 0)
    seconds = min(args.most_seconds, max(args.seconds, 3 * first["seconds"]))
    before = servers.metrics(url)
    run = bench.closed_loop(program, url, callers, *clips, "--duration", seconds, "--warmup", 0)
    counted = servers.metrics_increase(before, servers.metrics(url))
    latency = run["latency_s"] or {"p50": 0.0, "p95": 0.0}
    return {"callers": callers, "answers": run["ok"], "failures": run["requests"] - run["ok"],
            "requests_per_s": run["requests_per_s"], "audio_s_per_s": run["audio_s_per_s"] or 0.0,
            "p50_s": latency["p50"], "p95_s": latency["p95"],
            "queue_p95_s": servers.histogram_quantile(counted, "halkspeech_queue_seconds", 0.95),
            "mean_batch": servers.mean_batch(counted)}


def table(rows):
    lines = ["| callers | answers | requests a second | audio seconds a second | p50 s | p95 s | queue p95 s "
             "| mean batch |", "|---|---|---|---|---|---|---|---|"]
    lines += [f"| {row['callers']} | {row['answers']} | {row['requests_per_s']:.2f} | {row['audio_s_per_s']:.1f} | "
              f"{row['p50_s']:.2f} | {row['p95_s']:.2f} | {row['queue_p95_s']:.2f} | {row['mean_batch']:.2f} |"
              for row in rows]
    return "\n".join(lines)


def verdicts(rows):
    """(what is checked, whether it holds, what was seen)."""
    best, least = 0.0, rows[0]
    # Callers / throughput is the mean latency of callers that never pause.
    own = max(0.0, least["p95_s"] - least["callers"] / least["requests_per_s"]) if least["answers"] else 0.0
    for row in rows:
        callers, speed = row["callers"], row["requests_per_s"]
        best = max(best, speed)
        yield (f"{callers} callers: at least {FALL:g} of the best throughput so far", speed >= FALL * best,
               f"{speed:.2f} of {best:.2f} a second")
        bound = SPREAD * callers / speed + own if speed else 0.0
        yield (f"{callers} callers: p95 at most {SPREAD} times callers / throughput, plus {own:.2f} s",
               0 < row["p95_s"] <= bound, f"{row['p95_s']:.2f} s, bound {bound:.2f} s")
        yield f"{callers} callers: every request is answered", row["failures"] == 0, f"{row['failures']} failed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the halkspeech program")
    parser.add_argument("--models", required=True, help="the folder that holds base, a CTranslate2 model")
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--callers", default=[1, 4, 16, 64, 256],
                        type=lambda text: sorted(int(number) for number in text.split(",")))
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30, help="the least that counts, for each number of callers")
    parser.add_argument("--most-seconds", type=float, default=180, help="the most of it, and of the time before")
    parser.add_argument("--quick", action="store_true", help="1, 4 and 16 callers, 5 s each")
    parser.add_argument("--svg", default="docs/scaling.svg", help="where the chart goes")
    args = parser.parse_args()
    if args.quick:
        args.callers, args.seconds = [1, 4, 16], 5

    servers.end_on_sigterm()
    rows = []
    with servers.halkspeech(args.binary, args.models,
                            WHISPER__MAX_CONCURRENT_REQUESTS=2 * max(args.callers)) as url:
        for callers in args.callers:
            rows.append(measure(args.binary, url, callers, args))
            print(f"{callers} callers: {rows[-1]['requests_per_s']:.2f}/s", flush=True)
    print(f"\nbase, int8, beam {args.beam}, language given, clips up to {LONGEST_S} s\n\n{table(rows)}\n")
    with open(args.svg, "w", encoding="utf-8") as file:
        file.write(draw([(row["callers"], row["requests_per_s"], row["p95_s"]) for row in rows]))
    checks = list(verdicts(rows))
    for name, holds, seen in checks:
        print(f"{'PASS' if holds else 'FAIL'} {name}: {seen}")
    print(f"chart: {args.svg}; logs: {servers.log_folder()}")
    raise SystemExit(0 if all(holds for _, holds, _ in checks) else 1)


if __name__ == "__main__":
    main()
