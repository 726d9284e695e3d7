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

TRACKED = ("loss", "accuracy", "recall")


def training_curves(history: dict[str, list[float]]) -> str:
    """Loss, accuracy and recall by epoch, training and validation; what was not tracked is left out.

    Recall is Keras' over all classes together: the share of images whose true class has a probability above 0.5.
    """
    names = [name for name in TRACKED if history.get(name)] or ["loss"]
    figure = Figure(figsize=(4.2 * len(names), 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            values = history.get(key, [])
            axes.plot(range(1, len(values) + 1), values, label=label)
        axes.set(xlabel="epoch", ylabel=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
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


def roc(positive: Any, scores: FloatArray, points: dict[str, dict[str, float]], question: str = "malignant") -> str:
    """One question's ROC curve, with thresholds marked.

    Args:
        positive: bool [n].
        scores: float [n].
        points: name → sensitivity and specificity.
        question: what counts as positive, for the title.
    """
    order = np.argsort(-scores, kind="stable")
    hits, alarms = np.cumsum(positive[order]), np.cumsum(~positive[order])
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.r_[0, alarms / max(alarms[-1], 1)], np.r_[0, hits / max(hits[-1], 1)])
    axes.plot([0, 1], [0, 1], ":", color="grey")
    for name, point in points.items():
        axes.plot(1 - point["specificity"], point["sensitivity"], "o", label=name)
    axes.set(xlabel="1 - specificity", ylabel="sensitivity")
    axes.set_title(question)
    if points:
        axes.legend(loc="lower right")
    return _svg(figure)


def decision(rows: list[dict[str, float]], question: str) -> str:
    """Net benefit by the probability at which one acts: of the model, of flagging all, of flagging none.

    Args:
        rows: of `training.screening.decision_curve`.
        question: what counts as positive, for the title.
    """
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    at, model = [row["at"] for row in rows], [row["model"] for row in rows]
    axes.plot(at, model, label="model")
    axes.plot(at, [row["all"] for row in rows], "--", color="grey", label="flag all")
    axes.axhline(0, linestyle=":", color="grey", label="flag none")
    highest = max(*model, rows[0]["all"], 0.01)
    axes.set(xlabel="probability at which one acts", ylabel="net benefit", ylim=(-0.25 * highest, 1.05 * highest))
    axes.set_title(question)
    axes.legend()
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
