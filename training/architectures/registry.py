"""The architectures by name: `build(name, …)` gives an uncompiled model.

Contract of each: float32 [batch, height, width, 3] in 0…255 → softmax float32 [batch, classes]; whatever normalisation it needs
is in the graph. `fused` takes metadata beside the picture, so it cannot be served. The builders' modules import Keras, so they
are imported when one is built, not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from core.errors import InvalidRequestError

ARCHITECTURES: dict[str, tuple[str, str]] = {  # name → module, builder
    "starter": ("training.architectures.starter", "build_starter"),
    "lstm": ("training.architectures.lstm", "build_lstm"),
    "cnn28_norm": ("training.architectures.cnn28", "build_cnn28_norm"),
    "cnn28_oversampled": ("training.architectures.cnn28", "build_cnn28_oversampled"),
    "cnn75": ("training.architectures.cnn75", "build_cnn75"),
    "cnn75_lstm": ("training.architectures.cnn75", "build_cnn75_lstm"),
    "isic9_cnn": ("training.architectures.isic9", "build_isic9_cnn"),
    "study": ("training.architectures.study", "build_study"),
    "efficientnet_lite": ("training.architectures.efficientnet_lite", "build_efficientnet_lite"),
    "fused": ("training.architectures.fused", "build_fused"),
    "transfer": ("training.architectures.transfer", "build_transfer"),
}


def build(name: str, height: int, width: int, classes: int, **options: Any) -> Any:
    """A fresh `keras.Model`.

    Raises:
        InvalidRequestError: no such architecture.
    """
    if name not in ARCHITECTURES:
        raise InvalidRequestError(f"architecture {name!r}: expected one of {sorted(ARCHITECTURES)}")
    module, builder = ARCHITECTURES[name]
    return getattr(import_module(module), builder)(height, width, classes, **options)
