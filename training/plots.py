"""Plots of a report as inline SVG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # no display is needed, and none may be there
mpl.rcParams["svg.hashsalt"] = "dermq"  # the same plot gives the same bytes
mpl.rcParams["svg.fonttype"] = "none"  # text stays text: a quarter of the size, and it can be searched

from matplotlib.figure import Figure  # noqa: E402 - after the choice of backend

from training.screening import Scored  # noqa: E402

TRACKED = ("loss", "accuracy", "recall")


def training_curves(history: dict[str, list[float]]) -> str:
    """Loss, accuracy and recall by epoch, training and validation; what was not tracked is left out.

    Recall is Keras' over all classes together: the share of images whose true class has a probability above 0.5.
    """
    names = [name for name in TRACKED if history.get(name)] or ["loss"]
    figure = Figure(figsize=(4.2 * len(names), 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _curves(axes, history, name)
    return _svg(figure)


def side_by_side(histories: Mapping[str, Mapping[str, list[float]]]) -> str:
    """A column for each run, loss above accuracy, on shared axes, so that the gaps of training and validation can be compared.

    Args:
        histories: title of a run → metric → one value per epoch.
    """
    figure = Figure(figsize=(4.5 * len(histories), 6), layout="constrained")
    grid = figure.subplots(2, len(histories), squeeze=False, sharex=True, sharey="row")
    for column, (title, history) in enumerate(histories.items()):
        for row, name in enumerate(("loss", "accuracy")):
            _curves(grid[row][column], history, name)
        grid[0][column].set_title(title)
    return _svg(figure)


def _curves(axes: Any, history: Mapping[str, list[float]], name: str) -> None:
    for key, label in ((name, "training"), (f"val_{name}", "validation")):
        values = history.get(key, [])
        axes.plot(range(1, len(values) + 1), values, label=label)
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()


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


def screening(parts: Mapping[str, Scored], figures: Mapping[str, Mapping[str, Any]]) -> str:
    """A row for each question: the ROC curve with the thresholds of validation, and the decision curve.

    Args:
        parts: question → the test part under it.
        figures: question → of `training.screening.screening_figures`.
    """
    figure = Figure(figsize=(9, 4.2 * len(figures)), layout="constrained")
    for row, (question, found) in zip(figure.subplots(len(figures), 2, squeeze=False), figures.items(), strict=True):
        row[0].set_title(f"{question}: ROC curve, AUC {found['auc']:.3f}")
        _roc(row[0], parts[question], found["carried"])
        row[1].set_title(f"{question}: decision curve")
        _decision(row[1], found["decision_curve"])
    return _svg(figure)


def _roc(axes: Any, part: Scored, points: Mapping[str, Mapping[str, float]]) -> None:
    order = np.argsort(-part.scores, kind="stable")
    hits, alarms = np.cumsum(part.positive[order]), np.cumsum(~part.positive[order])
    axes.plot(np.r_[0, alarms / max(alarms[-1], 1)], np.r_[0, hits / max(hits[-1], 1)])
    axes.plot([0, 1], [0, 1], ":", color="grey")
    for name, point in points.items():
        kind, level = name.split("_")
        marker = "o" if kind == "sensitivity" else "s"
        axes.plot(1 - point["specificity"], point["sensitivity"], marker, label=f"{kind} {level} % on validation")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity")
    if points:
        axes.legend(loc="lower right", fontsize=8)


def _decision(axes: Any, rows: Sequence[Mapping[str, float]]) -> None:
    at, model = [row["at"] for row in rows], [row["model"] for row in rows]
    axes.plot(at, model, label="model")
    axes.plot(at, [row["all"] for row in rows], "--", color="grey", label="flag all")
    axes.axhline(0, linestyle=":", color="grey", label="flag none")
    highest = max(*model, rows[0]["all"], 0.01)
    axes.set(xlabel="probability at which one acts", ylabel="net benefit", ylim=(-0.25 * highest, 1.05 * highest))
    axes.legend(fontsize=8)


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
