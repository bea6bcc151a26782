#!/usr/bin/env python3
"""Whether every panel of the dashboard has something to show: its queries against a Prometheus that saw a load.

usage: check_dashboard.py [--prometheus http://127.0.0.1:9090] [--minutes 5] [--without GPU_memory]

Run it while the server is under load, or soon after. Prints for each query the series it gave and the range of
their values; fails when one gave nothing but NaN or nothing at all, unless its panel is named by --without
(spaces as underscores): a machine without a GPU has no GPU memory to show.
"""
import argparse
import json
import math
import pathlib
import sys
import time
import urllib.parse
import urllib.request

DASHBOARD = pathlib.Path(__file__).parent.parent / "docker/grafana/dashboards/halkspeech.json"
STEP_S = 15
# What Grafana puts in place of its variables: every instance, and four times the scrape interval.
VARIABLES = {"$instance": ".*", "$__rate_interval": "1m"}


def queries(dashboard):
    """(title of the panel, PromQL) of every query."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            yield panel["title"], expression


def ask(prometheus, expression, minutes):
    """The values of each series, without those that are no number."""
    now = time.time()
    wanted = {"query": expression, "start": now - 60 * minutes, "end": now, "step": STEP_S}
    url = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(wanted)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        series = json.load(answer)["data"]["result"]
    values = [[float(value) for _, value in one["values"]] for one in series]
    numbers = [[value for value in one if math.isfinite(value)] for one in values]
    return [one for one in numbers if one]


def main(flags):
    failed = []
    for title, expression in queries(json.loads(DASHBOARD.read_text(encoding="utf-8"))):
        series = ask(flags.prometheus, expression, flags.minutes)
        values = [value for one in series for value in one]
        if values:
            said = f"{len(series)} series, {min(values):.4g} to {max(values):.4g}"
        else:
            said = "nothing"
            if title.replace(" ", "_") not in flags.without:
                failed.append(title)
        print(f"{title:28} {said:36} {expression}")
    if failed:
        sys.exit(f"no data: {', '.join(failed)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--without", nargs="*", default=[])
    main(parser.parse_args())
