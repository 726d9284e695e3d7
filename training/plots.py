"""Plots of a report as inline SVG."""

from __future__ import annotations

import io
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # no display is needed, and none may be there
mpl.rcParams["svg.hashsalt"] = "dermq"  # the same plot gives the same bytes

from matplotlib.figure import Figure  # noqa: E402 - after the choice of backend

from training.datasets.base import FloatArray  # noqa: E402


def training_curves(history: dict[str, list[float]]) -> str:
    """Loss and accuracy by epoch, training and validation."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            if history.get(key):
                axes.plot(range(1, len(history[key]) + 1), history[key], label=label)
        axes.set(xlabel="epoch", ylabel=name)
        axes.legend()
    return _svg(figure)


def confusion(matrix: list[list[int]], classes: tuple[str, ...]) -> str:
    """Share of each true class by predicted class, with counts."""
    counts = np.array(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.5, 0.7 * len(classes))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true")
    for row, column in np.ndindex(*counts.shape):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    return _svg(figure)


def roc(is_malignant: Any, risks: FloatArray, points: dict[str, dict[str, float]]) -> str:
    """Malignant against benign by risk, with the operating points.

    Args:
        is_malignant: bool [n].
        risks: float [n].
        points: of `training.evaluate.operating_points`.
    """
    order = np.argsort(-risks, kind="stable")
    hits, alarms = np.cumsum(is_malignant[order]), np.cumsum(~is_malignant[order])
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.r_[0, alarms / max(alarms[-1], 1)], np.r_[0, hits / max(hits[-1], 1)])
    axes.plot([0, 1], [0, 1], ":", color="grey")
    for name, point in points.items():
        axes.plot(1 - point["specificity"], point["sensitivity"], "o", label=name)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity")
    if points:
        axes.legend(loc="lower right")
    return _svg(figure)


def reliability(rows: list[dict[str, float]]) -> str:
    """Accuracy against confidence; the dots' area is the number of images."""
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], ":", color="grey")
    confidence, accuracy = [row["confidence"] for row in rows], [row["accuracy"] for row in rows]
    axes.plot(confidence, accuracy, color="C0")
    total = sum(row["images"] for row in rows)
    axes.scatter(confidence, accuracy, s=[10 + 400 * row["images"] / total for row in rows], alpha=0.5)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    return _svg(figure)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
