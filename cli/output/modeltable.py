"""`dermq models` as a table that holds at any width: a version is one line; on a narrow terminal its figures stand below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_PROMOTED_CELLS, _FIGURES_CELLS = 76, 110  # characters of a terminal from which on there is room for these columns


def print_models(console: Console, models: list[dict[str, Any]]) -> None:
    """A line for each version. In a file or a pipe all columns are there, whatever the width."""
    from cli.output.summary import make_table

    if not console.is_terminal:
        console.width = max(console.width, _FIGURES_CELLS)
    promoted, figures = console.width >= _PROMOTED_CELLS, console.width >= _FIGURES_CELLS
    columns = ["Model", "Version", "State", "Labels"] + ["Promoted"] * promoted + ["Metrics", "Classes"] * figures
    table, below = make_table(*columns, right=(1,), whole=(0, 2)), []
    for model in models:
        for version in model.get("versions") or []:
            spec = version.get("spec") or model.get("spec") or {}
            metrics, classes = _metrics(spec), ", ".join(spec.get("classes") or [])
            cells = [model["name"], str(version["version"]), version["state"], ", ".join(version["labels"])]
            cells += [_promoted(version.get("promoted"))] * promoted + [metrics, classes] * figures
            table.add_row(*cells)
            below.append(f"{model['name']} version {version['version']}: {'; '.join(filter(None, (metrics, classes)))}")
    console.print(table)
    for line in () if figures else below:
        console.print()
        console.print(line, soft_wrap=True)


def _metrics(spec: dict[str, Any]) -> str:
    return ", ".join(f"{key.removeprefix('test_')} {value:.3g}" for key, value in (spec.get("metrics") or {}).items())


def _promoted(event: dict[str, Any] | None) -> str:
    from core.formats import format_moment

    return f"{event['label']} by {event['by']}, {format_moment(event['at'])}" if event else ""
