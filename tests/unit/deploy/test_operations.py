"""The pages for operators against what they speak of: alerts, panels, commands, tests; and the scripts in deploy/operations."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from cli.main import app
from tests.support.servers import ROOT

OPERATIONS = ROOT / "deploy" / "operations"
RUNBOOKS = (ROOT / "docs/how-to/runbook.md").read_text()
PAGES = ("how-to/operate.md", "how-to/upgrade.md", "how-to/back-up-and-restore.md", "explanation/reliability.md")
TEXT = "\n".join([*((ROOT / "docs" / page).read_text() for page in PAGES), RUNBOOKS])
PARTS = ("Means", "Users notice", "First look", "Causes", "Repair", "Escalate")


def alerts() -> dict[str, str]:
    """Each alert of the rules with its runbook_url."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml")))
    return dict(zip(re.findall(r"- alert: (\w+)", text), re.findall(r"runbook_url: (\S+)", text), strict=True))


def runbooks() -> dict[str, str]:
    """Each section of the runbook with its text."""
    pieces = re.split(r"^## (\w+)$", RUNBOOKS, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert len(alerts()) > 20
    assert sorted(alerts()) == sorted(runbooks())
    assert alerts() == {name: f"docs/how-to/runbook.md#{name.lower()}" for name in alerts()}


@pytest.mark.parametrize("name", sorted(alerts()))
def test_a_runbook_says_what_to_do(name: str) -> None:
    found = re.findall(r"^- \*\*(.+?):\*\* (.+)$", runbooks()[name], flags=re.MULTILINE)
    assert [part for part, _ in found] == list(PARTS)
    first_look = dict(found)["First look"]
    assert "`" in first_look or "panel" in first_look


def test_the_commands_exist() -> None:
    verbs = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"`dermq ([a-z]+)", TEXT))
    assert {"doctor", "retry", "jobs"} <= named
    assert named <= verbs


def test_the_panels_exist() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "dermq.json").read_text())
    titles = {panel["title"] for panel in dashboard["panels"]}
    looks = re.findall(r"panels? ((?:\*[^*]+\*(?:, | and |: |;)?)+)", RUNBOOKS)
    named = {title for look in looks for title in re.findall(r"\*([^*]+)\*", look)} - {"as Serving sees it"}
    assert len(named) > 10
    assert named <= titles


def test_the_tests_and_files_that_are_named_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)
    assert len(named) > 15
    assert [f"{path}::{test}" for path, test in named if f"def {test}(" not in (ROOT / path).read_text()] == []
    files = set(re.findall(r"`((?:deploy|serving)/[\w./-]+)", TEXT))
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_the_services_that_are_named_exist() -> None:
    services = set(
        re.findall(r"^  ([a-z]+):", (ROOT / "docker-compose.yml").read_text().partition("\nservices:")[2], re.MULTILINE)
    )
    named = set(
        re.findall(r"docker compose (?:logs|ps|up|exec|run|stop|restart)(?: -{1,2}[\w-]+(?:=\S+| \d\w*)?)* ([a-z]+)\b", TEXT)
    )
    assert {"api", "worker", "postgres"} <= named
    assert named <= services


def test_the_settings_that_are_named_exist() -> None:
    files = (ROOT / ".env.example", ROOT / "docker-compose.yml", *(ROOT / "core/settings").glob("*.py"))
    known = "".join(path.read_text() for path in files)
    named = {name for name in re.findall(r"DERMQ_[A-Z0-9_]+", TEXT) if name not in known}
    assert named - {"DERMQ_DATABASE_URL", "DERMQ_WORKER_BATCH_ITEMS"} == set()


@pytest.mark.parametrize("script", ["backup", "restore", "upgrade"])
def test_scripts_explain_themselves(script: str) -> None:
    path = OPERATIONS / script
    assert path.stat().st_mode & stat.S_IXUSR
    shown = subprocess.run([str(path), "--help"], check=True, capture_output=True, text=True)
    assert len(shown.stdout) > 500
    wrong = subprocess.run([str(path), "--no-such-thing"], check=False, capture_output=True, text=True)
    assert wrong.returncode == 2


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in front of the PATH, for programs that write down how they were called."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def install(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


def test_passwords_do_not_stand_on_a_command_line(programs: Path, tmp_path: Path) -> None:
    log = tmp_path / "called"
    install(programs, "psql", f'echo "$@ ($PGPASSWORD)" >>{log}; echo 0')
    env = {**os.environ, "DERMQ_DATABASE_URL": "postgresql+psycopg://dermq:s%2Fecret@db:5433/ledger", "HOME": str(tmp_path)}
    command = [sys.executable, str(OPERATIONS / "backup.py"), "--direct", str(tmp_path / "backups")]
    done = subprocess.run(command, check=False, env=env, capture_output=True, text=True)
    assert "the ledger is empty" in done.stderr
    called = log.read_text()
    assert "--dbname=postgresql://dermq@db:5433/ledger" in called
    assert called.count("s/ecret") == called.count("(s/ecret)") == len(called.splitlines())
    assert "ecret" not in done.stderr


DOCKER = """
echo "$@" >>"$LOG"
case "$*" in *"$FAIL"*) exit 7;; esac
case "$*" in
  *"ps --quiet --all"*|*"ps --all --quiet"*) echo old-$5; echo new-$5;;
  *"ps --quiet"*) echo old-$4;;
  *Health*) echo healthy;;
  *Image*) echo sha256:1;;
  *"config --format json"*) echo '{"name": "stack", "ports": [{"target":8080,"published":"'$PORTS'"}]}';;
esac
"""


def roll(programs: Path, log: Path, *arguments: str, fail: str = "nothing", ports: str = "8080") -> tuple[int, list[str], str]:
    """The upgrade with a docker that only writes down; returns its exit code, the calls that change something, its output."""
    install(programs, "docker", DOCKER)
    log.unlink(missing_ok=True)
    env = {**os.environ, "LOG": str(log), "FAIL": fail, "PORTS": ports, "DERMQ_VERSION": "9"}
    done = subprocess.run(
        [str(OPERATIONS / "upgrade"), "--yes", *arguments], check=False, env=env, capture_output=True, text=True
    )
    reading = ("compose ps", "compose config", "inspect", "logs")
    calls = [line for line in log.read_text().splitlines() if not line.startswith(reading)]
    return done.returncode, calls, done.stdout + done.stderr


UP = "compose up --detach --no-deps --no-build --wait --wait-timeout 180"


def test_an_upgrade_goes_step_by_step(programs: Path, tmp_path: Path) -> None:
    code, calls, output = roll(programs, tmp_path / "log")
    assert code == 0, output
    assert calls == [
        "tag sha256:1 dermq/api:before-upgrade",
        "tag sha256:1 dermq/worker:before-upgrade",
        "compose build --quiet api worker",
        "compose run --rm --no-deps -T migrate",
        f"{UP} --scale api=1 api",
        f"{UP} --scale beat=1 beat",
        f"{UP} --no-recreate --scale worker=2 worker",
        "stop old-worker",
        "rm old-worker",
        "compose run --rm --no-deps -T dermq doctor",
    ]
    assert "To go back: DERMQ_VERSION=before-upgrade" in output


def test_where_ports_allow_it_the_api_is_replaced_without_a_gap(programs: Path, tmp_path: Path) -> None:
    code, calls, _ = roll(programs, tmp_path / "log", "--no-build", "--no-migrate", "--in-place", ports="8080-8081")
    assert code == 0
    assert calls[2:] == [
        f"{UP} --no-recreate --scale api=2 api",
        "stop old-api",
        "rm old-api",
        f"{UP} --scale beat=1 beat",
        f"{UP} --scale worker=1 worker",
        "compose run --rm --no-deps -T dermq doctor",
    ]


def test_a_failed_migration_leaves_the_services_alone(programs: Path, tmp_path: Path) -> None:
    code, calls, output = roll(programs, tmp_path / "log", fail="-T migrate")
    assert code == 7
    assert calls[-1] == "compose run --rm --no-deps -T migrate"
    assert "STOPPED at: migrate" in output
    assert "The services were not touched" in output


def test_workers_that_do_not_get_healthy_are_removed_and_the_old_ones_work_on(programs: Path, tmp_path: Path) -> None:
    code, calls, output = roll(programs, tmp_path / "log", fail="--scale worker=2")
    assert code == 1
    assert calls[-1] == "rm --force new-worker"
    assert not any(call.startswith("stop") for call in calls)
    assert "STOPPED at: worker" in output
    assert "DERMQ_VERSION=before-upgrade deploy/operations/upgrade --no-build --no-migrate" in output
