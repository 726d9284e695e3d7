"""Values and nodes of an ONNX graph while it is translated.

ONNX has the colours second (N, C, H, W). TensorFlow convolves on a CPU only with the colours last (N, H, W, C). So a value of
four axes knows which of the two it is held in, and is turned only where an operator needs the other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from core.errors import InvalidRequestError

_TO_LAST = (0, 2, 3, 1)
_TO_SECOND = (0, 3, 1, 2)


@dataclass(frozen=True)
class Value:
    """A tensor, or an array where it is a constant of the file."""

    tensor: Any
    channels_last: bool = False  # held as N, H, W, C; ONNX's axes are N, C, H, W

    def as_onnx(self) -> Value:
        """With ONNX's axes."""
        return Value(tf.transpose(self.tensor, _TO_SECOND)) if self.channels_last else self

    def as_image(self) -> Value:
        """With the colours last. Fewer than four axes are filled up in front, as broadcasting does."""
        if self.channels_last:
            return self
        missing = 4 - len(self.tensor.shape)
        filled = self.tensor[(np.newaxis,) * missing + (...,)] if missing else self.tensor
        return Value(np.transpose(filled, _TO_LAST) if isinstance(filled, np.ndarray) else tf.transpose(filled, _TO_LAST), True)

    @property
    def rank(self) -> int:
        """Axes."""
        return len(self.tensor.shape)

    @property
    def constant(self) -> npt.NDArray[Any] | None:
        """Its values, where they are known while the graph is built."""
        if isinstance(self.tensor, np.ndarray | np.generic):
            return np.asarray(self.tensor)
        known = tf.get_static_value(self.tensor)
        return None if known is None else np.asarray(known)


@dataclass(frozen=True)
class Node:
    """One operator with its inputs."""

    kind: str
    name: str
    inputs: tuple[Value | None, ...]
    attributes: Mapping[str, Any]
    opset: int

    def input(self, position: int) -> Value:
        """One that must be there."""
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is None:
            raise self.refuse(f"input {position} is missing")
        return value

    def optional(self, position: int) -> Value | None:
        """One that may be left out."""
        return self.inputs[position] if position < len(self.inputs) else None

    def constant(self, position: int, default: Any = None) -> npt.NDArray[Any]:
        """The values of an input that must be known in advance; `default` where it is left out."""
        value = self.optional(position)
        if value is None:
            return np.asarray(default)
        known = value.constant
        if known is None:
            raise self.refuse(f"input {position} is computed from the image, and must be a constant")
        return known

    def numbers(self, name: str, default: Sequence[int]) -> list[int]:
        """An attribute that is a list of whole numbers."""
        return [int(each) for each in self.attributes.get(name, default)]

    def number(self, name: str, default: float) -> float:
        """An attribute that is one number."""
        return float(self.attributes.get(name, default))

    def whole(self, name: str, default: int) -> int:
        """An attribute that is one whole number."""
        return int(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """An attribute that is a word."""
        return str(self.attributes.get(name, default))

    def axes(self) -> list[int] | None:
        """Axes, as an attribute (old opsets) or as the second input; None: not given."""
        if "axes" in self.attributes:
            return self.numbers("axes", ())
        return [int(each) for each in self.constant(1).ravel()] if self.optional(1) is not None else None

    def require(self, condition: bool, what: str) -> None:
        """Raises InvalidRequestError, saying what is not translated."""
        if not condition:
            raise self.refuse(what)

    def refuse(self, what: str) -> InvalidRequestError:
        """The error for what is not translated."""
        return InvalidRequestError(
            f"ONNX {self.kind} {self.name!r}: not translated: {what}; convert the model where it was made"
        )


def aligned(values: Sequence[Value]) -> tuple[list[Any], bool]:
    """Tensors that broadcast with one another, and whether their colours stand last."""
    last = any(value.channels_last for value in values) and all(value.rank <= 4 for value in values)
    return [(value.as_image() if last else value.as_onnx()).tensor for value in values], last


def axis_of(axis: int, value: Value) -> int:
    """Where an axis of ONNX is in the tensor as it is held."""
    positive = axis + value.rank if axis < 0 else axis
    return (0, 3, 1, 2)[positive] if value.channels_last else positive
