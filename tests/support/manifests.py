"""deploy/kubernetes as a cluster would get it: rendered by kubectl's Kustomize, taken apart for tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.servers import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu", "trial")
COMPONENT = "app.kubernetes.io/component"

Document = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod template and who makes pods of it."""

    kind: str  # Deployment, StatefulSet, Job
    name: str
    owner: Document
    labels: Mapping[str, str]
    spec: Document

    @property
    def containers(self) -> list[Document]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]

    @property
    def main(self) -> Document:
        [container] = self.spec["containers"]
        return dict(container)

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.main.get("ports", ())}


@cache
def kubectl() -> str | None:
    """kubectl with Kustomize 5 (1.27 and later), None if there is none."""
    program = shutil.which("kubectl")
    if program is None:
        return None
    output = subprocess.run([program, "version", "--client"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"Kustomize Version: v(\d+)", output)
    return program if version and int(version[1]) >= 5 else None


def render(folder: Path) -> list[Document]:
    """All documents of an overlay; skips without kubectl, fails with what it says."""
    program = kubectl()
    if program is None:
        pytest.skip("no kubectl with Kustomize 5 (1.27 or later): .ci/install-kubectl FOLDER puts one there")
    run = subprocess.run([program, "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert not run.stderr, f"expected no warnings, got {run.stderr}"
    return list(yaml.safe_load_all(run.stdout))


@cache
def render_overlay(name: str) -> tuple[Document, ...]:
    """One of OVERLAYS; rendered once."""
    return tuple(render(KUBERNETES / "overlays" / name))


def of_kind(documents: tuple[Document, ...], kind: str) -> dict[str, Document]:
    """By name."""
    return {each["metadata"]["name"]: each for each in documents if each["kind"] == kind}


def pods(documents: tuple[Document, ...]) -> dict[str, Pod]:
    """Every pod template, by its owner's name."""
    return {pod.name: pod for pod in _pods(documents)}


def _pods(documents: tuple[Document, ...]) -> Iterator[Pod]:
    for each in documents:
        if template := each.get("spec", {}).get("template"):
            yield Pod(each["kind"], each["metadata"]["name"], each, template["metadata"]["labels"], template["spec"])


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """A label selector; matchExpressions with In only."""
    expressions = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in expressions), expressions
    wanted = selector.get("matchLabels", {})
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )


def config(documents: tuple[Document, ...]) -> dict[str, str]:
    """The settings that all pods get."""
    [found] = (each["data"] for name, each in of_kind(documents, "ConfigMap").items() if name.startswith("dermq-config-"))
    return dict(found)


def policy_edges(documents: tuple[Document, ...]) -> set[tuple[str, str, int]]:
    """Which pods may open which port of which pods, as both ends' policies together allow (from, to, port)."""
    found = pods(documents).values()
    policies = of_kind(documents, "NetworkPolicy").values()
    leaving = {
        (source.name, target.name, port)
        for source in found
        for rule in _rules(policies, source, "egress")
        for target in found
        for port in _ports(rule)
        if _names(rule["to"], target)
    }
    entering = {
        (source.name, target.name, port)
        for target in found
        for rule in _rules(policies, target, "ingress")
        for source in found
        for port in _ports(rule)
        if _names(rule["from"], source)
    }
    return leaving & entering


def _rules(policies: Any, pod: Pod, direction: str) -> list[Document]:
    chosen = [each["spec"] for each in policies if selects(each["spec"]["podSelector"], pod.labels)]
    kind = direction.capitalize()
    assert any(kind in spec["policyTypes"] for spec in chosen), f"{pod.name} has no {kind} policy: everything is open"
    return [rule for spec in chosen for rule in spec.get(direction, ())]


def _ports(rule: Document) -> list[int]:
    assert rule.get("ports"), f"a rule without ports opens all of them: {rule}"
    return [each["port"] for each in rule["ports"]]


def _names(peers: list[Document], pod: Pod) -> bool:
    assert peers, "an empty list of peers means everybody"
    return any(
        "namespaceSelector" not in peer and selects(peer.get("podSelector", {"matchLabels": {"-": "-"}}), pod.labels)
        for peer in peers
    )
