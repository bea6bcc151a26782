"""Checks the results of a soak and reports them, as Markdown and as JSON."""
import json
import os
import platform
import re
import sys
from collections import Counter

from soak import process_metrics


def log_lines(server):
    """Errors and warnings of the log by message, and lines that are not JSON, such as the traces of panics."""
    levels, other_lines = {"ERROR": Counter(), "WARN": Counter()}, []
    for line in server.log_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            other_lines.append(line)
            continue
        if entry["level"] in levels:
            reason = f": {entry['reason']}" if "reason" in entry else ""
            levels[entry["level"]][entry["message"] + reason] += 1
    return levels["ERROR"], levels["WARN"], other_lines


def evaluate(soak, final, stopped=None, log=None):
    """Returns each check as its name, whether it holds, and a description."""
    results, statuses, trends = soak.results, soak.results.statuses(), process_metrics.trends(soak.idle_samples())
    growth = "; ".join(f"{one.name} {one.before:.0f} → {one.after:.0f} (at most +{one.allowed:.0f})"
                       for one in trends or [])
    server_errors = {status: count for status, count in statuses.items() if isinstance(status, int) and status >= 500}
    failed = final["halkspeech_model_load_failures_total"]
    checks = [
        ("answers", results.unanswered() == 0 and results.fault_count == 0,
         f"{sum(results.counts.values())} requests, {results.unanswered()} without an answer, "
         f"{results.fault_count} faults; 5xx: {server_errors or 'none'}"),
        ("texts", results.repeats > 0 and not any("another text" in fault["what"] for fault in results.faults),
         f"{len(results.texts)} combinations of clip and options, requested {results.repeats} more times"),
        ("overload", statuses[429] > 0, f"{statuses[429]} answers 429"),
        ("memory", bool(trends) and all(one.is_stable for one in trends), growth or "too few idle samples"),
        ("gauges", not soak.unfinished_work and not process_metrics.nonzero_gauges(final),
         soak.unfinished_work or "0 at every pause"),
        ("models", failed == 0, f"{final['halkspeech_model_load_seconds_count']:.0f} model loads, {failed:.0f} failed"),
    ]
    if log is not None:
        errors, warnings, other_lines = log
        expected = sum(count for (_, status, _), count in results.provoked.items() if status != 503)
        checks.append(("log", sum(errors.values()) <= expected and not other_lines,
                       f"{dict(errors) or 'no errors'}; {dict(warnings) or 'no warnings'}; other lines: "
                       f"{other_lines[:3] or 'none'}"))
        checks.append(("stop", stopped == 0, f"exit status {stopped} after SIGTERM under load"))
    return checks


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return f"{names[0] if names else platform.machine()}, {cores} cores, {gib:.0f} GiB, Linux {platform.release()}"


def command():
    """The command line of this run, without keys and the path of the home directory."""
    line = " ".join(["pytest", *sys.argv[1:]]).replace(os.path.expanduser("~"), "~")
    return re.sub(r"\bkey=\S+", "key=…", line)


def markdown(result):
    """The report as Markdown."""
    soak, results, checks, version = result.soak, result.soak.results, result.checks, result.version
    good = all(holds for _, holds, _ in checks)
    lines = [f"# Soak: {'PASS' if good else 'FAIL'}", "",
             f"- machine: {machine()}", f"- server: HalkSpeech {version}, models {', '.join(soak.target.models)}",
             f"- command: `{command()}`",
             f"- {soak.at_s / 60:.1f} minutes, {soak.plan.callers} callers, {sum(results.counts.values())} requests"]
    lines += _table(("check", "", "seen"), [(name, "PASS" if holds else "FAIL", seen) for name, holds, seen in checks])
    outcomes = sorted(results.statuses(), key=str)
    lines += _table(("kind", *outcomes), [(kind, *(results.counts[kind, one] or "" for one in outcomes))
                                          for kind in sorted({kind for kind, _ in results.counts})])
    lines += _table(("answered with 200", "answers", "p50 s", "p95 s", "p99 s", "max s"),
                    [(kind, row["answers"], *(f"{row[name]:.2f}" for name in ("p50_s", "p95_s", "p99_s", "max_s")))
                     for kind, row in results.latencies().items()])
    if results.provoked:
        lines += _table(("provoked 5xx", "answers"), [(f"{kind}: {status} {message}", count) for
                                                      (kind, status, message), count in results.provoked.items()])
    busy_samples = [one for one in soak.samples if not one.quiet]
    shown = process_metrics.evenly_spaced(soak.idle_samples()) + process_metrics.evenly_spaced(busy_samples)
    lines += _table(("minute", "resident MiB", "open files", "threads", "models loaded", "during"),
                    [(f"{one.at_s / 60:.1f}", *(f"{value:.0f}" for value in (
                        one.resident_mib, one.open_files, one.threads, one.models_loaded)),
                      "a pause" if one.quiet else "traffic") for one in sorted(shown, key=lambda one: one.at_s)])
    lines += [""] + [f"- {fault}" for fault in results.faults[:30]]
    return "\n".join(lines).rstrip() + "\n"


def _table(head, rows):
    cells = lambda row: "| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |"
    return ["", cells(head), "|" + "---|" * len(head), *map(cells, rows)]


def as_json(result):
    """The report as JSON."""
    soak, results, checks, version = result.soak, result.soak.results, result.checks, result.version
    return {"machine": machine(), "version": version, "minutes": soak.at_s / 60, "seed": soak.plan.seed,
            "callers": soak.plan.callers, "models": soak.target.models,
            "checks": [{"name": name, "pass": bool(holds), "seen": seen} for name, holds, seen in checks],
            "counts": [{"kind": kind, "came": outcome, "count": count}
                       for (kind, outcome), count in sorted(results.counts.items(), key=str)],
            "latencies": results.latencies(), "faults": results.faults,
            "provoked": [{"kind": kind, "status": status, "message": message, "count": count}
                         for (kind, status, message), count in results.provoked.items()],
            "samples": [one.row() for one in soak.samples]}
