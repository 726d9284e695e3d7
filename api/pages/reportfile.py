"""The report as one file: no other file, no other host, no script."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from markupsafe import Markup

from api.pages.assets import STATIC
from api.pages.rendering import render_text
from api.pages.reportcharts import draw


def render_file(report: Mapping[str, Any], base: str) -> str:
    """The page; its links lead to the server at `base`."""
    return render_text("report_file.html", report=shown(report), figures=draw(report), base=base, style=_style())


def shown(report: Mapping[str, Any]) -> dict[str, Any]:
    """A report as the template reads it: with its time as one."""
    return {**report, "truth": {**report["truth"], "at": datetime.fromisoformat(report["truth"]["added_at"])}}


@lru_cache
def _style() -> Markup:
    return Markup(f"<style>{(STATIC / 'pages.css').read_text(encoding='utf-8')}</style>")  # noqa: S704 - a file of this package
