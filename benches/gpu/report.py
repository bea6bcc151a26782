"""Writes the results: results.json with everything, table.md for docs/performance.md."""
import json
import os


def write(folder, results):
    for name, content in (("results.json", json.dumps(results, indent=1)), ("table.md", table(results))):
        # Written atomically: the file is complete whenever the run ends.
        path = os.path.join(folder, name)
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write(content)
        os.replace(path + ".part", path)


def table(results):
    machine = results["machine"]
    lines = [f"{machine['gpu']}, driver {machine['driver']}, {results['date']}, `{results['command']}`:", "",
             "| profile | shape | batch | clip s | beam | callers | windows a minute | p50 s | p95 s | alone s "
             "| mean batch | failed |", "|" + "---|" * 12]
    for profile in results["profiles"]:
        for cell in profile["cells"]:
            numbers = [(cell.get("callers"), 0), (cell.get("windows_a_minute"), 0), (cell.get("p50_s"), 2),
                       (cell.get("p95_s"), 2), (cell["lone_s"], 2), (cell.get("mean_batch"), 0),
                       (cell.get("failures"), 0)]
            lines.append(row(profile["profile"], profile["shape"], profile["batch_size"], cell["clip_s"], cell["beam"],
                             *(number(*pair) for pair in numbers)))
    lines += ["", "| profile | windows planned | MiB planned | MiB in use before | MiB at most, nvidia-smi "
                  "| MiB at most, the server's gauge | ready after s |", "|" + "---|" * 7]
    for profile in results["profiles"]:
        plans = profile.get("plan") or [{}]
        planned = plans[0].get("planned_bytes")
        lines.append(row(profile["profile"], number(plans[0].get("windows")), number(planned and planned / 2**20),
                         *(number(profile.get(key)) for key in
                           ("memory_before_mib", "memory_peak_mib", "memory_gauge_peak_mib")),
                         number(profile.get("ready_after_s"), 1)))
    texts = results.get("texts")
    if texts:
        lines += ["", f"{texts['model']} on {texts['clips']} recordings: {texts['words_that_differ']} of "
                      f"{texts['words']} words differ between the GPU and the CPU. With all of them sent at "
                      f"once, {texts['texts_that_company_changes']} of {texts['texts_at_once']} texts differ."]
    if results["problems"]:
        lines += ["", "Problems: " + "; ".join(results["problems"])]
    return "\n".join(lines) + "\n"


def row(*cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"
