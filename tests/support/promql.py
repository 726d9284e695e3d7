"""What queries of rules and dashboards ask for, and what pages offer."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.servers import ROOT

RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
DASHBOARD = ROOT / "deploy/grafana/dashboards/dermq.json"

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^}]*)\}")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_KEYWORDS = {"and", "or", "unless", "bool", "offset"}
_SYNTHETIC = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"}}  # made by Prometheus itself
_TARGET = {"job", "instance"}  # added by Prometheus to every series

Labels = dict[str, set[str]]  # by metric name


def rules() -> Iterator[dict[str, Any]]:
    """All rules of all files."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def expressions() -> dict[str, str]:
    """Every query, by where it stands."""
    found = {f"rule {rule.get('alert') or rule['record']}": rule["expr"] for rule in rules()}
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            found[f"panel {panel['title']} {target['refId']}"] = target["expr"]
    for each in dashboard()["annotations"]["list"]:
        found[f"annotation {each['name']}"] = each["expr"]
    return found


def wanted(expression: str) -> Labels:
    """Metrics that a query names, each with the labels it selects by."""
    bare = _STRING.sub('""', expression)
    found: Labels = defaultdict(set)
    for name, matchers in _SELECTOR.findall(bare):
        found[name] |= {re.split(r"[=!]", matcher)[0].strip() for matcher in matchers.split(",") if matcher.strip()}
    left = _GROUPING.sub(" ", re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", bare))
    for word in _WORD.finditer(re.sub(r"\b\d[\w.]*", " ", left)):
        is_call = left[word.end() :].lstrip().startswith("(") if word.string is left else False
        if not is_call and word[0] not in _KEYWORDS:
            found.setdefault(word[0], set())
    functions = set(re.findall(r"([a-zA-Z_]\w*)\s*\(", left))
    return {name: labels for name, labels in found.items() if name not in functions}


def offered(*pages: str) -> Labels:
    """Metrics of Prometheus pages and of recording rules, each with its labels. A family without samples has none."""
    found: Labels = defaultdict(set, {name: set(labels) for name, labels in _SYNTHETIC.items()})
    for page in pages:
        for name in re.findall(r"^# TYPE (\S+) (?:gauge|counter)$", page, re.MULTILINE):
            found[name] |= _TARGET
        for name, labels in re.findall(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$", page, re.MULTILINE):
            found[name] |= _TARGET | set(re.findall(r"(\w+)=", _STRING.sub("", labels)))
    for rule in rules():
        if "record" in rule:
            found[rule["record"]] |= {"stage", "outcome"}
    return found


def unknown(pages: tuple[str, ...]) -> dict[str, str]:
    """Queries that name a metric or a label which no page has, by where they stand."""
    known = offered(*pages)
    faults = {}
    for where, expression in expressions().items():
        for name, labels in wanted(expression).items():
            if name not in known:
                faults[where] = f"no such metric: {name}"
            elif labels - known[name]:
                faults[where] = f"{name} has no label {sorted(labels - known[name])}"
    return faults


def promtool_files() -> list[Path]:
    """Unit tests of the rules."""
    return sorted((ROOT / "deploy/prometheus/tests").glob("*_test.yml"))
