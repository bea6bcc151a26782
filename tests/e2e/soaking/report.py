"""Judges a soak and writes it down, for people and for programs."""
import json
import os
import platform
import re
import sys
from collections import Counter

from soaking import vitals


def log_lines(server):
    """Errors and warnings of the log by their message, and lines that are no log: the traces of panics."""
    levels, strange = {"ERROR": Counter(), "WARN": Counter()}, []
    for line in server.said().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            strange.append(line)
            continue
        if entry["level"] in levels:
            reason = f": {entry['reason']}" if "reason" in entry else ""
            levels[entry["level"]][entry["message"] + reason] += 1
    return levels["ERROR"], levels["WARN"], strange


def judge(soak, final, stopped=None, log=None):
    """Every check with whether it holds and what was seen."""
    ledger, statuses, trends = soak.ledger, soak.ledger.statuses(), vitals.trends(soak.quiet())
    growth = "; ".join(f"{one.what} {one.before:.0f} → {one.after:.0f} (at most +{one.allowed:.0f})"
                       for one in trends or [])
    five = {status: count for status, count in statuses.items() if isinstance(status, int) and status >= 500}
    failed = final["halkspeech_model_load_failures_total"]
    checks = [
        ("answers", ledger.lost() == 0 and ledger.faults_seen == 0,
         f"{sum(ledger.counts.values())} requests, {ledger.lost()} without an answer, {ledger.faults_seen} not as they "
         f"should be; 5xx: {five or 'none'}"),
        ("texts", ledger.repeats > 0 and not any("another text" in fault["what"] for fault in ledger.faults),
         f"{len(ledger.texts)} wishes for a clip, {ledger.repeats} times asked again"),
        ("overload", statuses[429] > 0, f"{statuses[429]} answers 429"),
        ("memory", bool(trends) and all(one.flat for one in trends), growth or "too few quiet points to tell"),
        ("gauges", not soak.left_inside and not vitals.busy(final), soak.left_inside or "0 at every pause"),
        ("models", failed == 0, f"{final['halkspeech_model_load_seconds_count']:.0f} loadings, {failed:.0f} failed"),
    ]
    if log is not None:
        errors, warnings, strange = log
        meant = sum(count for (_, status, _), count in ledger.provoked.items() if status != 503)
        checks.append(("log", sum(errors.values()) <= meant and not strange,
                       f"{dict(errors) or 'no errors'}; {dict(warnings) or 'no warnings'}; lines that are no log: "
                       f"{strange[:3] or 'none'}"))
        checks.append(("stop", stopped == 0, f"exit status {stopped} after SIGTERM under load"))
    return checks


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else platform.machine()}, {cores} cores, {gib:.0f} GiB, Linux {platform.release()}"


def command():
    """The command line of this run, without a key and the name of a home."""
    line = " ".join(["pytest", *sys.argv[1:]]).replace(os.path.expanduser("~"), "~")
    return re.sub(r"\bkey=\S+", "key=…", line)


def markdown(outcome):
    """The report for people."""
    soak, ledger, checks, version = outcome.soak, outcome.soak.ledger, outcome.checks, outcome.version
    good = all(holds for _, holds, _ in checks)
    lines = [f"# Soak: {'PASS' if good else 'FAIL'}", "",
             f"- machine: {machine()}", f"- server: HalkSpeech {version}, models {', '.join(soak.target.models)}",
             f"- command: `{command()}`",
             f"- {soak.at_s / 60:.1f} minutes, {soak.plan.callers} callers, {sum(ledger.counts.values())} requests"]
    lines += _table(("check", "", "seen"), [(name, "PASS" if holds else "FAIL", seen) for name, holds, seen in checks])
    came = sorted(ledger.statuses(), key=str)
    lines += _table(("kind", *came), [(kind, *(ledger.counts[kind, one] or "" for one in came))
                                      for kind in sorted({kind for kind, _ in ledger.counts})])
    lines += _table(("answered with 200", "answers", "p50 s", "p95 s", "p99 s", "max s"),
                    [(kind, row["answers"], *(f"{row[name]:.2f}" for name in ("p50_s", "p95_s", "p99_s", "max_s")))
                     for kind, row in ledger.latencies().items()])
    if ledger.provoked:
        lines += _table(("provoked 5xx", "answers"), [(f"{kind}: {status} {message}", count) for
                                                      (kind, status, message), count in ledger.provoked.items()])
    shown = vitals.curve(soak.quiet()) + vitals.curve([one for one in soak.samples if not one.quiet])
    lines += _table(("minute", "resident MiB", "open files", "threads", "models loaded", "during"),
                    [(f"{one.at_s / 60:.1f}", *(f"{value:.0f}" for value in (
                        one.resident_mib, one.open_files, one.threads, one.models_loaded)),
                      "a pause" if one.quiet else "traffic") for one in sorted(shown, key=lambda one: one.at_s)])
    lines += [""] + [f"- {fault}" for fault in ledger.faults[:30]]
    return "\n".join(lines).rstrip() + "\n"


def _table(head, rows):
    cells = lambda row: "| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |"
    return ["", cells(head), "|" + "---|" * len(head), *map(cells, rows)]


def as_json(outcome):
    """The report for programs."""
    soak, ledger, checks, version = outcome.soak, outcome.soak.ledger, outcome.checks, outcome.version
    return {"machine": machine(), "version": version, "minutes": soak.at_s / 60, "seed": soak.plan.seed,
            "callers": soak.plan.callers, "models": soak.target.models,
            "checks": [{"name": name, "pass": bool(holds), "seen": seen} for name, holds, seen in checks],
            "counts": [{"kind": kind, "came": came, "count": count}
                       for (kind, came), count in sorted(ledger.counts.items(), key=str)],
            "latencies": ledger.latencies(), "faults": ledger.faults,
            "provoked": [{"kind": kind, "status": status, "message": message, "count": count}
                         for (kind, status, message), count in ledger.provoked.items()],
            "samples": [one.row() for one in soak.samples]}
