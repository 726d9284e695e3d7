"""What GitHub and other tools read: workflows, forms, hooks, the citation file. Each is valid and agrees with the project."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def load(path: Path) -> dict[Any, Any]:
    found = yaml.safe_load(path.read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.dependabot", [GITHUB / "dependabot.yml"]),
        ("vendor.github-issue-config", [GITHUB / "ISSUE_TEMPLATE" / "config.yml"]),
        ("vendor.github-issue-forms", [GITHUB / "ISSUE_TEMPLATE" / "bug.yml", GITHUB / "ISSUE_TEMPLATE" / "feature.yml"]),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_files_fit_their_published_schemas(schema: str, files: list[Path]) -> None:
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_beside(path: Path) -> None:
    used = re.findall(r"uses:\s*(.+)", path.read_text())
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_unless_a_job_says_otherwise(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    kept = [
        step["with"].get("persist-credentials", True)
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/checkout@")
    ]
    assert True not in kept  # the token does not stay in the checkout, where every later program can read it


def test_ci_runs_each_supported_python() -> None:
    supported = [each.rsplit(" ", 1)[1] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert load(GITHUB / "workflows" / "ci.yml")["jobs"]["run"]["strategy"]["matrix"]["python"] == supported
    first, last = supported[0], supported[-1].split(".")
    assert PROJECT["requires-python"] == f">={first},<{last[0]}.{int(last[1]) + 1}"


def test_hooks_run_the_locked_tools_and_fetch_none() -> None:
    repositories = load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [each["repo"] for each in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert [hook["id"] for hook in hooks if not hook["entry"].startswith(".venv/bin/")] == []


def test_the_devcontainer_runs_what_is_there() -> None:
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert os.access(ROOT / container["onCreateCommand"], os.X_OK)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    target = re.match(r"make ([a-z-]+) ", container["postCreateCommand"])
    assert target is not None
    assert target[1] in targets
    assert (
        container["image"].split(":")[1].split("-")[0]
        in load(GITHUB / "workflows" / "ci.yml")["jobs"]["run"]["strategy"]["matrix"]["python"]
    )


def test_the_citation_names_the_version_and_the_licence() -> None:
    citation = load(ROOT / "CITATION.cff")
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_what_npm_installs_is_locked_by_hash_and_without_addresses() -> None:
    packages = json.loads((ROOT / ".ci" / "javascript" / "package-lock.json").read_text())["packages"]
    locked = {name: each for name, each in packages.items() if name}
    assert {"node_modules/eslint", "node_modules/typescript"} <= set(locked)
    assert [name for name, each in locked.items() if not each["integrity"].startswith("sha512-") or "resolved" in each] == []


def test_a_release_attests_what_it_builds() -> None:
    """The files that `.ci/build-release` writes are those that the workflow names."""
    script = (ROOT / ".ci" / "build-release").read_text()
    locks = re.search(r"^for lock in ([a-z ]+); do$", script, re.MULTILINE)
    assert locks is not None
    assert all((ROOT / "requirements" / f"{lock}.lock").is_file() for lock in locks[1].split())
    version = PROJECT["version"]
    built = {f"dist/dermq-{lock}.cdx.json" for lock in locks[1].split()}
    built |= {f"dist/{name}-{version}{end}" for name in ("dermq", "dermq_client") for end in ("-py3-none-any.whl", ".tar.gz")}
    steps = [step.get("with", {}) for step in load(GITHUB / "workflows" / "release.yml")["jobs"]["build"]["steps"]]
    attested = [step for step in steps if "subject-path" in step]
    assert set(fnmatch.filter(built, attested[0]["subject-path"])) == built
    assert all(fnmatch.filter(built, step["subject-path"]) for step in attested)
    assert {step["sbom-path"] for step in attested if "sbom-path" in step} <= built
