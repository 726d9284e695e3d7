"""The evaluation of a run as one HTML file: figures, plots, and the mistakes that would matter most."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from core.errors import InvalidRequestError
from core.evaluation import metrics
from training import plots
from training.datasets.base import FloatArray, IntArray
from training.page import STYLE, png, table
from training.rundata import load_run_images
from training.runs import Predictions, RunFolder, RunRecord
from training.scaling import apply_temperature
from training.screening import questions, scored

MISTAKES = 18
_CARRIED = ("threshold", "sensitivity", "specificity", "needed_to_review", "flagged")


def render_report(
    run: RunFolder, evaluation: dict[str, Any], *, test: Predictions | None = None, data: Path | None = None
) -> str:
    """The whole page.

    Args:
        run: a finished run.
        evaluation: of `training.evaluate`.
        test: the predictions it evaluates; by default those of the run.
        data: the data set, for the pictures of the mistakes; by default where it was.
    """
    record, test = run.record(), test or run.predictions("test")
    probabilities = apply_temperature(test.probabilities, evaluation["temperature"])
    risks = metrics.risk(probabilities, record.malignant_indices)
    body = [
        f"<h1>{escape(record.experiment)}</h1>",
        "<p class=note>Research use only, not a diagnosis.</p>",
        f"<p>{escape(record.dataset)}; {escape(record.split)}; seed {record.seed}; {record.parameters:,} parameters; "
        f"{record.epochs} epochs; commit {escape(record.git_commit[:12] or 'unknown')}; "
        f"temperature {evaluation['temperature']}.</p>",
        _headline(evaluation),
        "<h2>Training</h2>",
        plots.training_curves(record.history),
        "<h2>By class</h2>",
        table(_class_rows(evaluation)),
        "<div class=plots>",
        plots.confusion(evaluation["confusion"], record.classes),
        plots.reliability(evaluation["reliability"]),
        "</div>",
        "<h2>Screening</h2>",
        _operating_points(evaluation),
        _screening(record, test.labels, probabilities, evaluation),
        _groups(evaluation),
        "<h2>Malignant images with the lowest risk</h2>",
        _mistakes(run, probabilities, risks, data),
    ]
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(record.experiment)}</title>"
    return head + f"<style>{STYLE}</style>" + "\n".join(body)


def _headline(evaluation: dict[str, Any]) -> str:
    spread = evaluation.get("interval_95", {})
    rows: list[Sequence[Any]] = [("figure", "value", "95 % interval")]
    for name, value in evaluation["headline"].items():
        interval = _interval(spread[name]) if name in spread else ""
        rows.append((name.replace("_", " "), f"{value:.3f}", interval))
    rows += [(f"among the first {k}", f"{value:.3f}", "") for k, value in evaluation["top"].items()]
    return f"<h2>{evaluation['images']:,} images of the {evaluation['part']} part</h2>" + table(rows)


def _class_rows(evaluation: dict[str, Any]) -> list[Sequence[Any]]:
    names = ("images", "precision", "recall", "f1", "specificity", "auc")
    rows: list[Sequence[Any]] = [("class", *names)]
    rows += [(name, *(_number(found[figure]) for figure in names)) for name, found in evaluation["classes"].items()]
    return [*rows, ("macro average", "", *(_number(evaluation["macro"][figure]) for figure in names[1:]))]


def _operating_points(evaluation: dict[str, Any]) -> str:
    points = evaluation["operating_points"]
    if not points:
        return "<p class=note>No operating point: nothing was held out to choose one on, or no class counts as malignant.</p>"
    names = ("threshold", "sensitivity", "specificity", "precision", "flagged")
    rows = [(name, *(_number(found[key]) for key in names)) for name, found in points.items()]
    return table([("operating point", *names), *rows])


def _screening(record: RunRecord, labels: IntArray, probabilities: FloatArray, evaluation: dict[str, Any]) -> str:
    """For each question the ROC curve with the thresholds of validation, the decision curve and the figures."""
    figures, asked = evaluation["screening"], questions(record.classes, record.malignant_indices)
    if not figures:
        return "<p class=note>No class counts as malignant, or the part lacks one side.</p>"
    under = {question: scored(labels, probabilities, (), asked[question]) for question in figures}
    parts = ["<div class=plots>", plots.screening(under, figures), "</div>"]
    for question, found in figures.items():
        parts += [
            f"<h3>{escape(question)}: {found['positive']:,} of {found['images']:,} images, AUC {found['auc']:.3f}</h3>",
            table([("on the ROC curve", "value", "95 % interval"), *_curve_rows(found)]),
        ]
        if found["carried"]:
            head = ("threshold chosen on validation", *(name.replace("_", " ") for name in _CARRIED))
            rows = [(name, *(_within(point, key) for key in _CARRIED)) for name, point in found["carried"].items()]
            parts.append(table([head, *rows]))
    return "".join(parts)


def _curve_rows(found: dict[str, Any]) -> list[Sequence[Any]]:
    spread = found.get("curve_interval_95", {})
    return [
        (name.replace("_", " ") + " %", _number(value), _interval(spread[name]) if name in spread else "")
        for name, value in found["curve"].items()
    ]


def _within(point: dict[str, Any], key: str) -> str:
    spread = point.get("interval_95", {})
    return _number(point[key]) + (f" ({_interval(spread[key])})" if key in spread else "")


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def _groups(evaluation: dict[str, Any]) -> str:
    parts = []
    for attribute, values in evaluation["groups"].items():
        names = tuple(next(iter(values.values())))
        rows = [(value, *(_number(found[name]) for name in names)) for value, found in values.items()]
        parts.append(
            f"<h2>By {escape(attribute)}</h2>" + table([(attribute, *(name.replace("_", " ") for name in names)), *rows])
        )
    return "".join(parts)


def _mistakes(run: RunFolder, probabilities: FloatArray, risks: FloatArray, data: Path | None) -> str:
    record, samples = run.record(), run.samples("test")
    malignant = [i for i, sample in enumerate(samples) if sample.label in record.malignant]
    worst = sorted(malignant, key=lambda i: float(risks[i]))[:MISTAKES]
    pictures = _pictures(run, [samples[i].id for i in worst], data)
    cells = []
    for i, picture in zip(worst, pictures, strict=True):
        image = f"<img src='data:image/png;base64,{picture}' alt=''><br>" if picture else ""
        said = record.classes[int(probabilities[i].argmax())]
        caption = f"{escape(samples[i].id)}<br>{escape(samples[i].label)}, said {escape(said)}, risk {risks[i]:.3f}"
        cells.append(f"<figure>{image}{caption}</figure>")
    return "".join(cells) or "<p class=note>None.</p>"


def _pictures(run: RunFolder, ids: list[str], data: Path | None) -> list[str]:
    """Base64 of a PNG for each id; empty words where the data set is not at hand."""
    try:
        dataset, pixels = load_run_images(run, data)
    except InvalidRequestError:
        if data is not None:
            raise
        return [""] * len(ids)  # the report is as true without pictures
    return [png(pixels[position]) for position in dataset.positions(ids)]


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value != value else f"{value:.3f}"  # noqa: PLR0124 - only NaN differs from itself
