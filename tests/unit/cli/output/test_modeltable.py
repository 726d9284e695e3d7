"""`dermq models` at the widths that terminals have."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from cli.output.modeltable import print_models

SPEC = {"metrics": {"test_accuracy": 0.808, "test_macro_auc": 0.9329}, "classes": ["akiec", "bcc", "mel", "nv"]}
EVENT = {"label": "stable", "by": "maria", "at": "2026-11-20T12:00:00Z"}
MODELS: list[dict[str, Any]] = [
    {
        "name": "starter",
        "versions": [
            {"version": 3, "state": "AVAILABLE", "labels": ["stable"], "promoted": EVENT, "spec": SPEC},
            {"version": 4, "state": "LOADING", "labels": [], "spec": SPEC},
        ],
    },
    {"name": "empty", "versions": None},
]


def printed(width: int, *, terminal: bool = True) -> list[str]:
    out = io.StringIO()
    print_models(Console(file=out, width=width, force_terminal=terminal, no_color=True, markup=False, highlight=False), MODELS)
    return [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()).splitlines()]


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_version_is_one_line_of_the_table(width: int) -> None:
    lines = printed(width)
    for number, state in (("3", "AVAILABLE"), ("4", "LOADING")):
        (row,) = [line for line in lines if line.startswith("starter") and state in line]
        assert number in row.split()
    table = lines[: lines.index("")] if "" in lines else lines
    assert max(map(len, table)) <= width


def test_figures_are_columns_or_lines_below() -> None:
    assert "Metrics" not in printed(60)[0]
    assert printed(60)[-1] == "starter version 4: accuracy 0.808, macro_auc 0.933; akiec, bcc, mel, nv"
    assert "Promoted" not in printed(60)[0]
    assert "Metrics" in printed(120)[0]
    assert "Metrics" in printed(60, terminal=False)[0]
