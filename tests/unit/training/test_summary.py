"""`--summary` lists every layer, and its numbers add up."""

from __future__ import annotations

import re

import pytest

from training.summary import summarise
from training.train import main


def test_layers_shapes_and_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lstm", "--summary"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "shape", "parameters", "learns"]
    rows = {line.split()[0]: line.split()[1:] for line in lines[1:-1]}
    assert rows["images"] == ["InputLayer", "?x28x28x3", "0", "0"]
    assert rows["probabilities"] == ["Dense", "?x7", "231", "231"]  # 32 * 7 + 7
    assert sum(int(row[2].replace(",", "")) for row in rows.values()) == 171_111
    assert lines[-1] == "lstm: 171,111 parameters, of which 171,111 learn; 7 classes"


def test_what_does_not_learn_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cnn28-norm", "--summary"]) == 0
    assert "cnn28-norm: 59,005 parameters, of which 58,412 learn; 7 classes" in capsys.readouterr().out


def test_the_layers_of_a_base_stand_below_it() -> None:
    from dataclasses import replace

    from training.experiments.registry import find_experiment

    found = find_experiment("transfer-densenet121")
    small = replace(found, height=32, width=32, options={**found.options, "weights": "none"})
    lines = summarise(small, 9).splitlines()
    base = next(i for i, line in enumerate(lines) if re.match(r"base +Functional", line))
    assert lines[base].split()[-1] == "0"  # frozen
    assert lines[base + 1].startswith("  ")
    assert lines[-1].endswith("9 classes")
