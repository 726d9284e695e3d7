"""What a rollout has done, in a sentence or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serving.lifecycle.rollout import Moved


def show_moved(moved: Moved, *, as_json: bool) -> None:
    """On stdout."""
    from cli.output.terminal import open_out, print_json

    if as_json:
        print_json(asdict(moved))
        return
    open_out().print(f"{_sentence(moved)} ({moved.detail}).", soft_wrap=True)


def show_next(moved: Moved) -> None:
    """What can be done with a version that was promoted; on stderr."""
    from cli.output.terminal import open_err

    label = "" if moved.label == "stable" else f" --label {moved.label}"
    open_err().print(f"To screen with it: dermq screen PATH --model {moved.model}{label}", soft_wrap=True)


def _sentence(moved: Moved) -> str:
    if moved.label is None:
        return f"{moved.model} version {moved.version} is retired"
    before = f", was version {moved.previous}" if moved.previous not in {None, moved.version} else ""
    if moved.version is None:
        return f"{moved.model} has no label {moved.label!r} any more{before}"
    return f"{moved.model} {moved.label} is version {moved.version}{before}"
