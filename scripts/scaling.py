#!/usr/bin/env python3
"""Measures throughput, latency and batches of a HalkSpeech server by number of callers. Starts the server.

usage: scaling.py --binary PATH --models DIR --manifest FILE [--callers 1,4,16,64,256] [--seconds 30] [--quick]

Callers of `halkspeech bench` send clips of at most 12 s in a closed loop, once per caller as a warm-up and then for the
given seconds or the time of three answers per caller, whichever is longer.
Checks that throughput never falls by more than 5 % from its maximum with more callers, and that the 95th percentile
grows no faster than the queue: at most 1.3 times callers / throughput, plus its excess over that with the fewest
callers, which comes from the different lengths of the clips. Prints a Markdown table and draws a chart.
"""
import argparse

import bench
import servers
from chart import draw

MAX_CLIP_S = 12
MIN_RATE_SHARE = 0.95
MAX_LATENCY_FACTOR = 1.3


def measure(program, url, callers, args):
    """Returns a row of the table."""
    clips = ["--manifest", args.manifest, "--kind", "short,telephone", "--max-s", MAX_CLIP_S, "--model", "base",
             "--send-language", "--form", f"beam_size={args.beam}", "--timeout-s", 900]
    first = bench.closed_loop(program, url, callers, *clips, "--requests", callers, "--warmup", 0)
    seconds = min(args.most_seconds, max(args.seconds, 3 * first["seconds"]))
    before = servers.metrics(url)
    run = bench.closed_loop(program, url, callers, *clips, "--duration", seconds, "--warmup", 0)
    increase = servers.metrics_increase(before, servers.metrics(url))
    latency = run["latency_s"] or {"p50": 0.0, "p95": 0.0}
    return {"callers": callers, "answers": run["ok"], "failures": run["requests"] - run["ok"],
            "requests_per_s": run["requests_per_s"], "audio_s_per_s": run["audio_s_per_s"] or 0.0,
            "p50_s": latency["p50"], "p95_s": latency["p95"],
            "queue_p95_s": servers.histogram_quantile(increase, "halkspeech_queue_seconds", 0.95),
            "mean_batch": servers.mean_batch(increase)}


def table(rows):
    lines = ["| callers | answers | requests per second | audio seconds per second | p50 s | p95 s | queue p95 s "
             "| mean batch |", "|---|---|---|---|---|---|---|---|"]
    lines += [f"| {row['callers']} | {row['answers']} | {row['requests_per_s']:.2f} | {row['audio_s_per_s']:.1f} | "
              f"{row['p50_s']:.2f} | {row['p95_s']:.2f} | {row['queue_p95_s']:.2f} | {row['mean_batch']:.2f} |"
              for row in rows]
    return "\n".join(lines)


def checks_of(rows):
    """Yields each check as its name, whether it holds, and the result."""
    best, fewest = 0.0, rows[0]
    # Callers / throughput is the mean latency in a closed loop.
    offset_s = max(0.0, fewest["p95_s"] - fewest["callers"] / fewest["requests_per_s"]) if fewest["answers"] else 0.0
    for row in rows:
        callers, speed = row["callers"], row["requests_per_s"]
        best = max(best, speed)
        yield (f"{callers} callers: at least {MIN_RATE_SHARE:g} of the best throughput so far",
               speed >= MIN_RATE_SHARE * best, f"{speed:.2f} of {best:.2f} per second")
        bound = MAX_LATENCY_FACTOR * callers / speed + offset_s if speed else 0.0
        yield (f"{callers} callers: p95 at most {MAX_LATENCY_FACTOR} times callers / throughput, plus {offset_s:.2f} s",
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
    parser.add_argument("--seconds", type=float, default=30, help="minimum duration, for each number of callers")
    parser.add_argument("--most-seconds", type=float, default=180, help="maximum duration of it")
    parser.add_argument("--quick", action="store_true", help="1, 4 and 16 callers, 5 s each")
    parser.add_argument("--svg", default="docs/scaling.svg", help="output file of the chart")
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
    print(f"\nbase, int8, beam {args.beam}, language set, clips up to {MAX_CLIP_S} s\n\n{table(rows)}\n")
    with open(args.svg, "w", encoding="utf-8") as file:
        file.write(draw([(row["callers"], row["requests_per_s"], row["p95_s"]) for row in rows]))
    checks = list(checks_of(rows))
    for name, holds, result in checks:
        print(f"{'PASS' if holds else 'FAIL'} {name}: {result}")
    print(f"chart: {args.svg}; logs: {servers.log_folder()}")
    raise SystemExit(0 if all(holds for _, holds, _ in checks) else 1)


if __name__ == "__main__":
    main()
