"""The layers of an experiment's net as a table: name, kind, output shape, parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras

from training.architectures.registry import build
from training.experiments.base import Experiment

_HEAD = ("layer", "kind", "output shape", "parameters", "learns")


def summarise(experiment: Experiment, classes: int) -> str:
    """The table, and below it the parameters in all and those that learn, for people.

    Args:
        experiment: its net is built with random weights, unless its options name others.
        classes: how many.
    """
    model = build(experiment.architecture, experiment.height, experiment.width, classes, **experiment.options)
    rows = [_HEAD, *_rows(model)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    learning = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    total = f"{experiment.id}: {model.count_params():,} parameters, of which {learning:,} learn; {classes} classes"
    return "\n".join([*lines, total])


def _rows(model: Any, depth: int = 0) -> Iterator[tuple[str, ...]]:
    """A row a layer; the layers of a net within a net stand below it, two spaces in."""
    for layer in model.layers:
        shape = "x".join("?" if side is None else str(side) for side in _output_shape(layer))
        learning = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
        yield "  " * depth + layer.name, type(layer).__name__, shape, f"{layer.count_params():,}", f"{learning:,}"
        if isinstance(layer, keras.Model):
            yield from _rows(layer, depth + 1)


def _output_shape(layer: Any) -> tuple[int | None, ...]:
    shape = layer.output.shape
    return tuple(shape)
