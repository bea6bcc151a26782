#!/usr/bin/env python3
"""How a HalkSpeech server takes more and more callers: throughput, latency, batches. Starts the server itself.

usage: scaling.py --binary PATH --models DIR --manifest FILE [--callers 1,4,16,64,256] [--seconds 30] [--quick]

Callers send a clip of at most 12 s as soon as the last is answered. What counts begins once every caller has had an
answer, and lasts the given seconds or the time of three answers to each caller, whichever is longer.
Checks that throughput never falls by more than 5 % from its best as callers grow, and that the 95th percentile grows
no faster than the queue: at most 1.3 times callers / throughput, plus what it has over that with the fewest callers,
where it is the clips' own lengths that differ. Prints a Markdown table and draws a chart.
Needs `pip install aiohttp`.
"""
import argparse
import asyncio

import servers
from chart import draw
from clips import read_manifest, short_clips
from load import quantile, send, session, steady, summary

FALL = 0.95
SPREAD = 1.3


async def measure(url, clips, callers, args):
    """A row of the table."""
    async with session() as client:
        def ask(clip):
            return send(client, url, clip, {"model": "base", "language": clip.language, "beam_size": args.beam})

        answers, seconds, before, after = await steady(
            ask, clips, callers, lambda: servers.metrics(url), args.seconds, args.most_seconds)
    waits = [answer.queue_ms / 1000 for answer in answers if answer.status == 200]
    return {"callers": callers, "queue_p95_s": quantile(waits, 0.95),
            "mean_batch": servers.mean_batch(servers.growth(before, after))} | summary(answers, seconds)


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
    clips, rows = short_clips(read_manifest(args.manifest)), []
    with servers.halkspeech(args.binary, args.models,
                            WHISPER__MAX_CONCURRENT_REQUESTS=2 * max(args.callers)) as url:
        for callers in args.callers:
            rows.append(asyncio.run(measure(url, clips, callers, args)))
            print(f"{callers} callers: {rows[-1]['requests_per_s']:.2f}/s", flush=True)
    print(f"\nbase, int8, beam {args.beam}, language given, {len(clips)} clips up to 12 s\n\n{table(rows)}\n")
    with open(args.svg, "w", encoding="utf-8") as file:
        file.write(draw([(row["callers"], row["requests_per_s"], row["p95_s"]) for row in rows]))
    checks = list(verdicts(rows))
    for name, holds, seen in checks:
        print(f"{'PASS' if holds else 'FAIL'} {name}: {seen}")
    print(f"chart: {args.svg}; logs: {servers.log_folder()}")
    raise SystemExit(0 if all(holds for _, holds, _ in checks) else 1)


if __name__ == "__main__":
    main()
