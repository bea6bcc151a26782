"""Every panel of the dashboard has data: runs its queries on a Prometheus after a load.

Run it while the server is under load, or soon after: `docker compose --profile cpu --profile observability up -d`, then
`halkspeech bench` and `halkspeech bench --live`. Panels of GPUs have the marker `gpu`.
"""
import json
import math
import pathlib
import re
import time
import urllib.parse
import urllib.request

import pytest

import needs

ROOT = pathlib.Path(__file__).parents[2]
DASHBOARD = ROOT / "docker/grafana/dashboards/halkspeech.json"
METRICS = ROOT / "docs/metrics.md"
LAST_S, STEP_S = 300, 15
# Values of Grafana's variables: every instance, and four times the scrape interval.
VARIABLES = {"$instance": ".*", "$__rate_interval": "1m"}
# Without data on a machine without a GPU.
GPU_METRIC = "halkspeech_device_memory_bytes"


def queries():
    """Each query of the dashboard in PromQL, named after its panel."""
    numbers = {}
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"]
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            title = panel["title"].replace(" ", "_")
            numbers[title] = number = numbers.get(title, 0) + 1
            marks = [pytest.mark.gpu] if GPU_METRIC in expression else []
            yield pytest.param(expression, id=f"{title}-{number}", marks=marks)


@pytest.fixture(scope="module")
def prometheus(pytestconfig):
    """The address of the Prometheus that --prometheus names."""
    url = pytestconfig.getoption("--prometheus").rstrip("/")
    return needs.reachable_url(url + "/-/ready", "prometheus", "name it with --prometheus").removesuffix("/-/ready")


def query_range(prometheus, expression):
    """The values of each series, without NaN and infinity."""
    now = time.time()
    parameters = {"query": expression, "start": now - LAST_S, "end": now, "step": STEP_S}
    url = f"{prometheus}/api/v1/query_range?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        series = json.load(answer)["data"]["result"]
    values = [[float(value) for _, value in one["values"]] for one in series]
    numbers = [[value for value in one if math.isfinite(value)] for one in values]
    return [one for one in numbers if one]


def test_the_queries_name_metrics_of_the_server():
    documented = set(re.findall(r"`(halkspeech_\w+)", METRICS.read_text(encoding="utf-8")))
    used = {name for query in queries() for name in re.findall(r"halkspeech_\w+", query.values[0])}
    assert used
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in used} - documented == set()


@pytest.mark.slow
@pytest.mark.parametrize("expression", list(queries()))
def test_a_panel_has_data(prometheus, expression):
    series = query_range(prometheus, expression)
    assert series, expression
    values = [value for one in series for value in one]
    print(f"{len(series)} series, {min(values):.4g} to {max(values):.4g}")
