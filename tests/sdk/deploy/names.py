"""Holds the rules and the dashboard against a Prometheus that runs the rules over a running deployment.

    names.py PROMETHEUS_URL REPLICAS DASHBOARD REPOSITORY

Every selector must find a series: a metric, label or value that does not exist makes an alert that never fires and a
panel that stays empty. The docs must know each alert, and the dashboard may say nothing that Grafana does not read.
"""

import itertools
import json
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import promql_parser
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

# The first ratios want two scrapes and an evaluation after them, a second each.
PATIENCE_SECONDS = 60


def ask(url, path, **parameters):
    query = urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        sys.exit(f"Prometheus on {parameters}: {error.read().decode()}")


def selectors(expression):
    """Every series selector in an expression, without ranges and offsets."""
    if isinstance(expression, promql_parser.VectorSelector):
        yield (expression.name or "") + str(expression.matchers)
    for part in ("lhs", "rhs", "expr", "param", "vector_selector", "args"):
        below = getattr(expression, part, None)
        for one in below if isinstance(below, list) else [below]:
            if one is not None and not isinstance(one, str):
                yield from selectors(one)


def wanted(expressions):
    return sorted({one for expression in expressions for one in selectors(promql_parser.parse(expression))})


def rules_of(url):
    return [rule for group in ask(url, "rules")["groups"] for rule in group["rules"]]


def asked_by(dashboard):
    """The expressions of a dashboard, its variables replaced by what stands for all."""
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    labels = [one["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    expressions += [re.fullmatch(r"label_values\((\w+), \w+\)", query)[1] for query in labels]
    return [one.replace("$region", ".+").replace("$__rate_interval", "1m") for one in expressions]


def unread(given, read, path=""):
    """What of a JSON value did not come back from a type that was read from it."""
    if isinstance(given, dict) and isinstance(read, dict):
        for key, value in given.items():
            yield from unread(value, read.get(key), f"{path}.{key}")
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for place, (one, other) in enumerate(zip(given, read)):
            yield from unread(one, other, f"{path}[{place}]")
    elif given != read:
        yield path


def complaints_of_dashboard(dashboard):
    register_default_plugins()
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    yield from (f"dashboard: Grafana does not read {path}" for path in unread(dashboard, read))
    taken = set()
    for panel in dashboard["panels"]:
        x, y, w, h = (panel["gridPos"][side] for side in "xywh")
        cells = set(itertools.product(range(x, x + w), range(y, y + h)))
        if cells & taken or x + w > 24:
            yield f"dashboard: panel `{panel['title']}` lies on another or outside"
        taken |= cells
    if len({panel["id"] for panel in dashboard["panels"]}) < len(dashboard["panels"]):
        yield "dashboard: two panels have one id"


def complaints_of_alert(rule, repository):
    name, severity, link = rule["name"], rule["labels"]["severity"], rule["annotations"]["runbook_url"]
    path, _, anchor = link.partition("#")
    text = (repository / path).read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    if anchor not in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}:
        yield f"rules: {name}: {link}: there is no such section"
    if f"| `{name}` | {severity} |" not in (repository / "docs/operations.md").read_text():
        yield f"docs/operations.md: there is no row for {name}, {severity}"


def complaints_of_names(url, replicas, dashboard):
    """What is not there yet, or not at all."""
    targets = [target["health"] for target in ask(url, "targets")["activeTargets"]]
    if targets != ["up"] * replicas:
        yield f"prometheus.yml: there are {replicas} replicas, and its targets are {targets}"
    rules, shown = rules_of(url), asked_by(dashboard)
    for rule in rules:
        if rule["health"] != "ok":
            yield f"rules: {rule['name']}: {rule['health']} {rule.get('lastError', '')}"
    for expression in shown:
        ask(url, "query", query=expression)
    for one in wanted([rule["query"] for rule in rules] + shown):
        if not ask(url, "series", **{"match[]": one}):
            yield f"rules or dashboard: no series is {one}"


def main(url, replicas, dashboard_file, repository):
    dashboard = json.loads(Path(dashboard_file).read_text())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (complaints := list(complaints_of_names(url, int(replicas), dashboard))) and time.monotonic() < deadline:
        time.sleep(0.5)
    rules = rules_of(url)
    complaints += complaints_of_dashboard(dashboard)
    for rule in rules:
        if rule["type"] == "alerting":
            complaints += complaints_of_alert(rule, Path(repository))
    if complaints:
        sys.exit("\n".join(complaints))
    names = wanted([rule["query"] for rule in rules] + asked_by(dashboard))
    print(f"{len(rules)} rules, {len(dashboard['panels'])} panels: each of their {len(names)} selectors finds a series")


main(*sys.argv[1:])
