"""The architectures by name: `build(name, …)` gives an uncompiled model.

Contract of each: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes]; whatever normalisation it needs is in
the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.errors import InvalidRequestError
from training.architectures.starter import build_starter

Builder = Callable[..., Any]

ARCHITECTURES: dict[str, Builder] = {
    "starter": build_starter,
}


def build(name: str, height: int, width: int, classes: int, **options: Any) -> Any:
    """A fresh `keras.Model`.

    Raises:
        InvalidRequestError: no such architecture.
    """
    if name not in ARCHITECTURES:
        raise InvalidRequestError(f"architecture {name!r}: expected one of {sorted(ARCHITECTURES)}")
    return ARCHITECTURES[name](height, width, classes, **options)
