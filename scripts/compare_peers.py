#!/usr/bin/env python3
"""Compares speed and word errors of HalkSpeech, faster-whisper-server and faster-whisper's batched pipeline.

usage: compare_peers.py --binary PATH --models DIR --manifest FILE [--beam 5] [--rounds 2] [--quick]

Same machine, model (DIR/base), int8, beam, clips and callers; the language is set. Systems:
  halkspeech              its default settings except int8 and the beam
  faster-whisper-server   over HTTP, batch_size 8; one process of two threads or two of one, whichever is faster
  pipeline                BatchedInferencePipeline in process, batch_size 8; called sequentially, by all callers at
                          once, or so with two workers of one thread, whichever is fastest
A trial first finds the fastest way to run each peer, for each set of clips. Then sets and systems alternate, in
rounds; the results are medians of the rounds. A run repeats its clips, always completely, until the time is over.
Sets: the manifest's short and telephone clips up to 12 s; those of 20 to 30 s, and short ones of one language joined
to such a length; the longest recording, one request at a time. Finally, single requests of 5 s.

Prints a Markdown table and PASS or FAIL for each goal, and writes all figures to a JSON file.
Needs `pip install faster-whisper==1.2.1 faster-whisper-server==0.0.3 aiohttp numpy`.
"""
import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass

import peers
import servers
from clips import cut, join, read_manifest, short_clips
from load import Answer, ClipSequence, closed_loop, medians, send, session, summary

HALKSPEECH, SERVER, PIPELINE = "halkspeech", "faster-whisper-server", "pipeline"
# Requests per second, as a multiple of the faster peer's, by set.
GOALS = {"up to 12 s": 6.0, "20 to 30 s": 2.5, "13 minutes": 1.5}
# Median time of a single request, as a share of the faster peer's.
LONE_GOAL = 0.4
# Maximum word error rate above the better peer's, in percentage points.
WER_GOAL = 0.5


@dataclass
class ClipSet:
    name: str
    clips: list
    callers: int


class Systems:
    """All systems, running; each can be run in one or more ways."""

    def __init__(self, urls, pipeline, beam, short_clip):
        self._urls, self._pipeline, self._beam, self._five = urls, pipeline, beam, short_clip
        self._warm = set()
        self.ways = {HALKSPEECH: [HALKSPEECH], SERVER: list(peers.SERVER_WAYS), PIPELINE: list(peers.PIPELINE_WAYS)}

    def run(self, way, clips, callers, **until):
        """A measured run after a warm-up, which is longer the first time, when models are loaded."""
        warm_up = [self._five] * (2 if way in self._warm else 8)
        self._run(way, warm_up, min(callers, len(warm_up)), seconds=0, whole_passes=True)
        self._warm.add(way)
        return self._run(way, clips, callers, **until)

    def _run(self, way, clips, callers, seconds, whole_passes):
        if way in peers.PIPELINE_WAYS:
            rows, wall_s = self._pipeline.run(clips, way=way, callers=callers, seconds=seconds,
                                              whole_passes=whole_passes)
            answers = [Answer(clips[number], 0.0, answer_s, 200, text) for number, answer_s, text in rows]
            return summary(answers, wall_s)
        return asyncio.run(self._over_http(way, clips, callers, ClipSequence(len(clips), seconds, whole_passes)))

    async def _over_http(self, way, clips, callers, turns):
        url = self._urls[way]

        def fields(clip):
            if way == HALKSPEECH:
                return {"model": "base", "language": clip.language, "beam_size": self._beam}
            return {"model_name": "base", "language": clip.language}

        before = servers.metrics(url) if way == HALKSPEECH else {}
        async with session() as client:
            answers, wall_s = await closed_loop(
                lambda clip: send(client, url, clip, fields(clip)), clips, callers, turns)
        for answer in answers:
            if answer.status != 200:
                print(f"{way}: {answer.clip.name}: {answer.status} {answer.text[:200]}", file=sys.stderr)
        figures = {}
        if way == HALKSPEECH:
            figures = servers.engine_figures(servers.metrics_increase(before, servers.metrics(url)))
        return summary(answers, wall_s) | figures


@contextlib.contextmanager
def start_systems(args, short_clip):
    model = os.path.join(args.models, "base")
    with contextlib.ExitStack() as stack:
        server = servers.halkspeech(args.binary, args.models, WHISPER__BEAM_SIZE=args.beam)
        urls = {HALKSPEECH: stack.enter_context(server)}
        for way in peers.SERVER_WAYS:
            urls[way] = stack.enter_context(peers.server(model, args.beam, way))
        yield Systems(urls, stack.enter_context(peers.pipeline(model, args.beam)), args.beam, short_clip)


def clip_sets(args, folder):
    clips = read_manifest(args.manifest)
    natural = [clip for clip in short_clips(clips, 30) if clip.duration_s >= 20]
    longest = max((clip for clip in clips if clip.kind == "long"), key=lambda clip: clip.duration_s)
    every = [
        ClipSet("up to 12 s", short_clips(clips), args.callers),
        ClipSet("20 to 30 s", natural + join(short_clips(clips, 20), 20, 29, folder), args.callers),
        ClipSet("13 minutes", [longest], 1),
    ]
    short_clip = cut(next(clip for clip in clips if clip.kind == "short" and clip.duration_s >= 10), 5, folder)
    return [clip_set for clip_set in every if clip_set.name in args.sets], short_clip


def choose_ways(systems, sets, seconds):
    """Returns the fastest way for each set and system; with one caller there is only one."""
    chosen, tried = {}, {}
    for clip_set in sets:
        for system, ways in systems.ways.items():
            speeds = {ways[0]: 0.0}
            if clip_set.callers > 1 and len(ways) > 1:
                speeds = {way: systems.run(way, clip_set.clips, clip_set.callers, seconds=seconds,
                                           whole_passes=False)["requests_per_s"] for way in ways}
                tried[f"{clip_set.name}, {system}"] = speeds
                print(f"{clip_set.name}, {system}: " + ", ".join(
                    f"{way} {speed:.2f}/s" for way, speed in speeds.items()), flush=True)
            chosen[clip_set.name, system] = max(speeds, key=speeds.get)
    return chosen, tried


def measure(systems, sets, chosen, args):
    """Returns the list of runs for each set and system."""
    runs = {}
    for number in range(args.rounds):
        for clip_set in sets:
            for system in systems.ways:
                run = systems.run(chosen[clip_set.name, system], clip_set.clips, clip_set.callers,
                                  seconds=args.seconds, whole_passes=True)
                runs.setdefault((clip_set.name, system), []).append(run)
                print(f"round {number + 1}, {clip_set.name}, {system}: {run['answers']} answers in "
                      f"{run['wall_s']:.1f} s, {run['requests_per_s']:.3f}/s", flush=True)
                if system == HALKSPEECH:
                    print("    " + ", ".join(f"{name} {run[name]:.2f}" for name in servers.ENGINE_FIGURES), flush=True)
    return runs


def measure_lone(systems, clip, times):
    """Returns the median seconds of a single request; the systems alternate."""
    seconds = {system: [] for system in systems.ways}
    for number in range(times + 1):
        for system, ways in systems.ways.items():
            run = systems.run(ways[0], [clip], 1, seconds=0, whole_passes=True)
            if number:
                seconds[system].append(run["p50_s"])
    return {system: statistics.median(values) for system, values in seconds.items()}


def table(sets, figures, lone):
    lines = ["| recordings | system | requests per second | audio seconds per second | p50 s | p95 s | word errors "
             "| times the faster peer |", "|---|---|---|---|---|---|---|---|"]
    for clip_set in sets:
        label = f"{clip_set.name}: {len(clip_set.clips)}, {clip_set.callers} caller{'s'[:clip_set.callers - 1]}"
        best = max(figures[clip_set.name, peer]["requests_per_s"] for peer in (SERVER, PIPELINE))
        for system in (HALKSPEECH, SERVER, PIPELINE):
            row = figures[clip_set.name, system]
            ratio = f"{row['requests_per_s'] / best:.2f}" if system == HALKSPEECH else ""
            lines.append(f"| {label} | {system} | {row['requests_per_s']:.3f} | {row['audio_s_per_s']:.1f} | "
                         f"{row['p50_s']:.2f} | {row['p95_s']:.2f} | {row['wer_percent']:.2f} % | {ratio} |")
            label = ""
    if lone:
        best = min(lone[SERVER], lone[PIPELINE])
        lines += ["", "| one request of 5 s alone | median s | share of the faster peer's |", "|---|---|---|"]
        lines += [f"| {system} | {seconds:.3f} | {f'{seconds / best:.2f}' if system == HALKSPEECH else ''} |"
                  for system, seconds in lone.items()]
    return "\n".join(lines)


def verdicts(sets, figures, lone):
    """Yields each goal as its name, whether it is met, and the result."""
    for clip_set in sets:
        halkspeech_row, *others = (figures[clip_set.name, system] for system in (HALKSPEECH, SERVER, PIPELINE))
        goal = GOALS[clip_set.name]
        ratio = halkspeech_row["requests_per_s"] / max(other["requests_per_s"] for other in others)
        yield f"{clip_set.name}: at least {goal} times the faster peer", ratio >= goal, f"{ratio:.2f}"
        points = halkspeech_row["wer_percent"] - min(other["wer_percent"] for other in others)
        yield f"{clip_set.name}: at most {WER_GOAL} points more word errors", points <= WER_GOAL, f"{points:+.2f}"
        failures = sum(row["failures"] for row in (halkspeech_row, *others))
        yield f"{clip_set.name}: every request is answered", failures == 0, f"{failures} failed"
    if lone:
        share = lone[HALKSPEECH] / min(lone[SERVER], lone[PIPELINE])
        yield f"5 s alone: at most {LONE_GOAL} of the faster peer's time", share <= LONE_GOAL, f"{share:.2f}"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the halkspeech program")
    parser.add_argument("--models", required=True, help="the folder that holds base, a CTranslate2 model")
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=40, help="minimum duration of a run")
    parser.add_argument("--trial-seconds", type=float, default=20, help="for the trial of each way to run a peer")
    parser.add_argument("--lone", type=int, default=30, help="single requests to each system")
    parser.add_argument("--sets", default=",".join(GOALS), type=lambda text: text.split(","))
    parser.add_argument("--quick", action="store_true", help="one short round, to check that it works")
    parser.add_argument("--json", default="compare_peers.json", help="output file of the figures")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.trial_seconds, args.lone = 1, 5, 5, 3
    if unknown := set(args.sets) - set(GOALS):
        parser.error(f"unknown set: {', '.join(unknown)}; known are {', '.join(GOALS)}")
    return args


def main():
    args = arguments()
    peers.require()
    servers.end_on_sigterm()
    with tempfile.TemporaryDirectory() as folder:
        sets, short_clip = clip_sets(args, folder)
        with start_systems(args, short_clip) as systems:
            chosen, tried = choose_ways(systems, sets, args.trial_seconds)
            runs = measure(systems, sets, chosen, args)
            lone = measure_lone(systems, short_clip, args.lone) if args.lone else {}
    figures = {key: medians(rows) for key, rows in runs.items()}
    print(f"\nbase, int8, beam {args.beam}, language set; " + ", ".join(
        f"{package} {version}" for package, version in peers.versions().items()))
    for (name, system), way in chosen.items():
        if way != system:
            print(f"{name}, {system}: {way}")
    print("\n" + table(sets, figures, lone) + "\n")
    checks = list(verdicts(sets, figures, lone))
    for goal, met, result in checks:
        print(f"{'PASS' if met else 'FAIL'} {goal}: {result}")
    with open(args.json, "w", encoding="utf-8") as file:
        json.dump({"beam": args.beam, "callers": args.callers, "seconds": args.seconds, "versions": peers.versions(),
                   "clips": {clip_set.name: [clip.name for clip in clip_set.clips] for clip_set in sets},
                   "tried": tried, "chosen": {f"{name}, {system}": way for (name, system), way in chosen.items()},
                   "runs": {f"{name}, {system}": rows for (name, system), rows in runs.items()}, "lone_s": lone,
                   "goals": [{"goal": goal, "met": met, "seen": result} for goal, met, result in checks]},
                  file, indent=1)
    print(f"all figures: {args.json}; logs: {servers.log_folder()}")
    raise SystemExit(0 if all(met for _, met, _ in checks) else 1)


if __name__ == "__main__":
    main()
