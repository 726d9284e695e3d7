"""Prometheus' configuration and rules pass promtool, every alert is tested and has a runbook, and the files fit each other."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import promql
from tests.support.servers import ROOT

PROMETHEUS = ROOT / "deploy/prometheus"


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False)


def test_configuration_and_rules_are_valid(promtool: str) -> None:
    done = run(promtool, "check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


def test_every_alert_fires_and_stays_quiet(promtool: str) -> None:
    done = run(promtool, "test", "rules", *promql.promtool_files())
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_rule_does_not_pass(promtool: str, tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS / "rules", tmp_path / "rules")
    shutil.copytree(PROMETHEUS / "tests", tmp_path / "tests")
    alerts = tmp_path / "rules/alerts.yml"
    alerts.write_text(alerts.read_text().replace("> 900", "> 9000"))
    done = run(promtool, "test", "rules", tmp_path / "tests/api_test.yml")
    assert done.returncode != 0
    assert "DermqQueueStalled" in done.stdout + done.stderr


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in promql.rules() if "alert" in rule]


def test_every_alert_says_what_is_wrong_and_where_to_read_on() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert rule["annotations"]["runbook_url"] == f"docs/how-to/runbook.md#{rule['alert'].lower()}"


def test_every_alert_has_both_tests() -> None:
    tested = [case["name"] for path in promql.promtool_files() for case in yaml.safe_load(path.read_text())["tests"]]
    for rule in alerts():
        assert f"{rule['alert']} fires" in tested
        assert f"{rule['alert']} stays quiet" in tested


def test_every_alert_has_its_runbook() -> None:
    headings = {
        line.lstrip("# ").strip().lower()
        for line in (ROOT / "docs/how-to/runbook.md").read_text().splitlines()
        if line.startswith("#")
    }
    assert {rule["alert"].lower() for rule in alerts()} <= headings


def test_compose_gives_prometheus_what_it_scrapes_and_grafana_no_default_password() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    added = yaml.safe_load((ROOT / "deploy/compose.monitoring.yml").read_text())["services"]
    reached = set(added["prometheus"]["networks"])
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    targets = {name: each["port"] for job in jobs for each in job.get("dns_sd_configs", ()) for name in each["names"]}
    assert targets == {"api": 9100, "worker": 9100, "beat": 9100, "serving": 8501}
    for name in targets:
        assert reached & set(compose[name]["networks"]), name
    for name in ("worker", "beat"):
        assert compose[name]["environment"]["DERMQ_METRICS_PORT"] == "9100"
    for service in added.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["user"].partition(":")[0] not in {"", "0", "root"}
        assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory", "pids"}
    assert added["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"].startswith("${DERMQ_GRAFANA_PASSWORD:?")


def test_the_dashboard_is_one_that_grafana_can_show() -> None:
    panels = promql.dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        if panel["type"] != "row":
            assert panel["description"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"]


def test_the_reader_of_queries_sees_names_and_labels() -> None:
    query = 'sum by (a) (rate(x_total{outcome="failed",code=~"b|c"}[5m])) / on () group_left () (max(y) > 0) or vector(1e3)'
    assert promql.wanted(query) == {"x_total": {"outcome", "code"}, "y": set()}
