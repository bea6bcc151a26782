#!/usr/bin/env python3
"""Holds a HalkSpeech server, under load, to what it promises about batches; starts the server itself.

usage: check_load.py --binary PATH --models DIR --manifest FILE [--repeats 2000] [--checks sharing,text,...] [--quick]

  sharing    languages and tasks share a batch; beam size, temperature, time stamps and length of the prompt do not
  text       one clip, sent again and again among other traffic, has one text in batches of every size
  fairness   while a long recording is transcribed, a clip of 5 s waits for the rest of a batch and one more at most
  hang-ups   callers that leave lose nobody else's answer, and leave nothing behind

Everything runs on the model base with int8. Needs `pip install aiohttp`.
"""
import argparse
import asyncio
import itertools
import random
import time
from collections import Counter

import servers
from clips import read_manifest, short_clips
from load import Turns, closed_loop, quantile, send, session, steady

BATCH_SIZE = 8  # the server's default
LANGUAGES = ("tr", "en", "de", "fr")
TASKS = ("transcriptions", "translations")
# Requests of different kinds may not share a batch.
KINDS = {
    "as usual": {},
    "beam size 1": {"beam_size": 1},
    "temperature 0.4": {"temperature": 0.4},
    "time stamps": {"response_format": "verbose_json"},
    "short prompt": {"prompt": "Well."},
    "long prompt": {"prompt": "Well, let us begin with the first of these sentences."},
}


class Report:
    """Prints a line a check, and remembers whether all held."""

    def __init__(self):
        self.good = True

    def check(self, name, holds, seen):
        self.good &= bool(holds)
        print(f"{'PASS' if holds else 'FAIL'} {name}: {seen}", flush=True)


class Bench:
    """A server's address, a client, and the recordings."""

    def __init__(self, url, client, clips, args):
        self.url, self.client, self.args = url, client, args
        self.short = short_clips(clips)
        # Of about one length, so that they could share a batch on any device.
        self.alike = [clip for clip in self.short if 5.1 < clip.duration_s < 6.9]
        self.english = next(clip for clip in self.alike if clip.language == "en")
        self.long = max((clip for clip in clips if clip.kind == "long"), key=lambda clip: clip.duration_s)

    async def send(self, clip, route="transcriptions", **fields):
        return await send(self.client, self.url, clip, {"model": "base", "language": clip.language} | fields, route)

    async def metrics(self):
        return await asyncio.to_thread(servers.metrics, self.url)

    async def behind_a_batch(self, requests):
        """Starts the requests while the only engine is busy, so that all wait before any can leave; their answers."""
        before = await self.metrics()
        blocker = asyncio.create_task(self.send(self.long, duration=120))
        for _ in range(300):
            await asyncio.sleep(0.02)
            if servers.growth(before, await self.metrics())["halkspeech_batch_windows_count"] > 0:
                break
        answers = await asyncio.gather(*requests)
        await blocker
        return answers


async def check_sharing(bench, report):
    """One engine, so that what is waiting together leaves together wherever it may."""
    pairs = list(itertools.product(LANGUAGES, TASKS))
    by_language = {language: next(clip for clip in bench.alike if clip.language == language) for language in LANGUAGES}
    answers = await bench.behind_a_batch(
        bench.send(by_language[language], route, vad_filter="false") for language, route in pairs)
    sizes = {f"{language} {route}": answer.batch_size for (language, route), answer in zip(pairs, answers)}
    report.check("four languages and two tasks, eight requests at once, share one batch",
                 answered(answers) and set(sizes.values()) == {len(pairs)}, sizes)

    names = [name for name in KINDS for _ in range(3)]
    answers = await bench.behind_a_batch(
        bench.send(bench.english, vad_filter="false", **KINDS[name]) for name in names)
    sizes = {name: sorted(answer.batch_size for other, answer in zip(names, answers) if other == name)
             for name in KINDS}
    report.check("beam size, temperature, time stamps and length of the prompt: three requests of each of six kinds at "
                 "once, batches of three", answered(answers) and all(size == [3] * 3 for size in sizes.values()), sizes)


async def check_mixed_load(bench, report):
    """Two engines, 64 callers, languages and tasks mixed."""
    clips = [clip for clip in bench.short if clip.language in LANGUAGES]
    random.Random(1).shuffle(clips)
    routes = itertools.cycle(TASKS)
    answers, seconds, before, after = await steady(
        lambda clip: bench.send(clip, next(routes)), clips, 64, lambda: servers.metrics(bench.url),
        bench.args.seconds, 4 * bench.args.seconds)
    counted = servers.growth(before, after)
    sizes = [answer.batch_size for answer in answers]
    mean, over_all = sum(sizes) / max(1, len(sizes)), servers.mean_batch(counted)
    # Were languages and tasks apart, 64 callers would be spread over 24 kinds (three lengths each): 2.7 a batch.
    # Doubtful windows are generated again in small batches of their own, which the mean over all batches includes.
    report.check("64 callers, four languages, two tasks: x-batch-size 6 or more on average, batches of 4 or more",
                 answered(answers) and mean >= 6 and over_all >= 4,
                 f"x-batch-size {mean:.2f}, {dict(sorted(Counter(sizes).items()))}; {over_all:.2f} windows a batch, "
                 f"{counted['halkspeech_windows_repeated_total']:.0f} windows repeated; {len(answers)} answers in "
                 f"{seconds:.0f} s")


async def check_text(bench, report):
    probe = min((clip for clip in bench.short if clip.language == "en"), key=lambda clip: clip.duration_s)
    others = [clip for clip in bench.short if clip is not probe]
    chance, probes, failed = random.Random(2), [], 0
    phases = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 64]
    each = -(-bench.args.repeats // len(phases))
    missing = set(range(1, BATCH_SIZE + 1))
    # After the planned phases a few more, while a size is missing.
    for number, callers in enumerate(phases + [3, 5, 8, 11, 14, 20]):
        if number >= len(phases) and not missing:
            break
        left = itertools.count()

        async def caller():
            nonlocal failed
            while True:
                clip = probe if chance.random() < 0.7 else chance.choice(others)
                if clip is probe and next(left) >= each:
                    return
                answer = await bench.send(clip)
                failed += answer.status != 200
                if clip is probe and answer.status == 200:
                    probes.append(answer)
                    missing.discard(answer.batch_size)

        await asyncio.gather(*(caller() for _ in range(callers)))
    sizes = dict(sorted(Counter(answer.batch_size for answer in probes).items()))
    texts = Counter(answer.text for answer in probes)
    report.check(f"one clip, {len(probes)} times in batches of every size, has one text",
                 len(probes) >= bench.args.repeats and len(texts) == 1 and not failed and not missing,
                 f"{len(texts)} distinct, {failed} requests failed, times by x-batch-size {sizes}")
    if len(texts) > 1:
        print("\n".join(f"  {count} times: {text}" for text, count in texts.most_common(5)))


async def check_fairness(bench, report):
    clip = min(bench.short, key=lambda clip: abs(clip.duration_s - 5))
    alone = [await bench.send(clip) for _ in range(3)]
    begun = time.perf_counter()
    long = asyncio.create_task(bench.send(bench.long, duration=bench.args.long_s))
    tasks = []
    while not long.done() and len(tasks) < 1000:
        tasks.append(asyncio.create_task(bench.send(clip)))
        await asyncio.wait([long], timeout=1)
    took = time.perf_counter() - begun
    answers = await asyncio.gather(*tasks)
    whole = await long
    batch_ms = max(answer.inference_ms for answer in (whole, *answers))
    waits = [answer.queue_ms for answer in answers]
    seconds = [answer.seconds for answer in answers]
    report.check(f"{bench.args.long_s:g} s of one recording beside a clip of {clip.duration_s:g} s a second: "
                 "no clip waits longer than two of the longest batch",
                 answered([whole, *answers]) and max(waits) <= 2 * batch_ms,
                 f"{len(answers)} clips, x-queue-ms p50 {quantile(waits, 0.5):.0f}, max {max(waits):.0f}; "
                 f"longest batch {batch_ms:.0f} ms, of the clips' own {max(a.inference_ms for a in answers):.0f} ms; "
                 f"clips answered after p50 {quantile(seconds, 0.5):.2f} s, max {max(seconds):.2f} s, "
                 f"alone after {min(a.seconds for a in alone):.2f} s; the recording took {took:.1f} s")


async def check_hang_ups(bench, report):
    texts = {clip: (await bench.send(clip)).text for clip in bench.short}
    chance = random.Random(3)
    before, kept, left = await bench.metrics(), [], 0

    async def ask(clip):
        nonlocal left
        if chance.random() < 0.4:
            try:
                await asyncio.wait_for(bench.send(clip), chance.uniform(0.01, 2.0))
            except TimeoutError:
                left += 1
        else:
            kept.append(await bench.send(clip))

    await closed_loop(ask, bench.short, 48, Turns(len(bench.short), bench.args.seconds))
    for _ in range(100):
        after = await bench.metrics()
        if after["halkspeech_requests_in_flight"] == 0:
            break
        await asyncio.sleep(0.1)
    counted = servers.growth(before, after)
    wrong = [answer for answer in kept if answer.status != 200 or answer.text != texts[answer.clip]]
    report.check("callers that leave lose nobody else's answer",
                 left and not wrong, f"{left} left, {len(kept)} stayed, {len(wrong)} of them without their text")
    report.check("nothing of those who left remains", after["halkspeech_requests_in_flight"] == 0,
                 f"{after['halkspeech_requests_in_flight']:.0f} requests in flight, "
                 f"{counted['halkspeech_jobs_cancelled_total']:.0f} windows dropped before their batch")


def answered(answers):
    for answer in answers:
        if answer.status != 200:
            print(f"  {answer.clip.name}: {answer.status} {answer.text[:200]}")
    return all(answer.status == 200 for answer in answers)


async def run(checks, url, clips, args):
    """Runs checks against one server; whether all held."""
    report = Report()
    async with session() as client:
        bench = Bench(url, client, clips, args)
        for check in checks:
            await check(bench, report)
    return report.good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True, help="the halkspeech program")
    parser.add_argument("--models", required=True, help="the folder that holds base, a CTranslate2 model")
    parser.add_argument("--manifest", required=True)
    parser.add_argument("--repeats", type=int, default=2000, help="how often the one clip is sent")
    parser.add_argument("--seconds", type=float, default=30, help="of mixed load, and of hang-ups")
    parser.add_argument("--long-s", type=float, default=600, help="seconds of the long recording")
    parser.add_argument("--checks", default="sharing,text,fairness,hang-ups", type=lambda text: text.split(","))
    parser.add_argument("--quick", action="store_true", help="150 repeats, 8 s, a recording of 120 s")
    args = parser.parse_args()
    if args.quick:
        args.repeats, args.seconds, args.long_s = 150, 8, 120
    usual = {"sharing": check_mixed_load, "text": check_text, "fairness": check_fairness, "hang-ups": check_hang_ups}
    if unknown := set(args.checks) - set(usual):
        parser.error(f"no such check: {', '.join(unknown)}; there are {', '.join(usual)}")

    servers.end_on_sigterm()
    clips, good = read_manifest(args.manifest), []
    if "sharing" in args.checks:
        with servers.halkspeech(args.binary, args.models, WHISPER__NUM_WORKERS=1) as url:
            good.append(asyncio.run(run([check_sharing], url, clips, args)))
    with servers.halkspeech(args.binary, args.models) as url:
        good.append(asyncio.run(run([usual[name] for name in args.checks], url, clips, args)))
    print(f"logs: {servers.log_folder()}")
    raise SystemExit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
