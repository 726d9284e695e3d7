"""The report on a job: its answers beside the truth, with the same figures as a training run's evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.archives.tables.columns import normalise
from core.evaluation.arrays import BoolArray, FloatArray
from core.evaluation.figures import describe
from core.evaluation.resampling import Interval, Judged, resampled, wider, wilson
from core.modelspec import ModelSpec
from core.precision import as_shown

ROUNDS = 1000  # bootstrap resamples
FEWER_ROUNDS = 200  # of more images than MANY: an interval of them is narrow, and its bounds need not be as exact
MANY = 20_000
CURVE_POINTS = 200  # of the ROC curve in a report
# Columns of tables, by letters and digits alone, first come first taken.
ATTRIBUTES = {
    "age": ("age", "ageapprox", "ageatdiagnosis", "patientage"),
    "sex": ("sex", "gender", "patientsex"),
    "site": (
        "site",
        "localization",
        "localisation",
        "anatomsitegeneral",
        "anatomsite",
        "bodysite",
        "anatomsitegeneralchallenge",
    ),
}
GROUPS = ("lesionid", "lesion", "patientid", "patient")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a job says of images whose truth is known.

    Attributes:
        labels: [n], names of the true classes.
        probabilities: float [n, classes].
        risks: float [n], as they were compared with the threshold; None without a risk.
        metadata: [n]; cells of the archive's table, empty where there is none.
    """

    labels: Sequence[str]
    probabilities: FloatArray
    risks: FloatArray | None
    metadata: Sequence[Mapping[str, str]]


def judge(answers: Answers, spec: ModelSpec, columns: Sequence[str] = (), *, rounds: int | None = None) -> dict[str, Any]:
    """All figures, ready for core.evaluation.figures.without_nan.

    Args:
        answers: at least one.
        spec: of the job's model; its classes are not true together.
        columns: of the archive's table.
        rounds: bootstrap resamples; by default ROUNDS, or FEWER_ROUNDS of many images.

    Returns:
        Those of `describe`, and `interval_95` (of figures and of each class's recall), `roc`, `grouped_by`, `rounds`.
    """
    rounds = rounds if rounds is not None else (ROUNDS if len(answers.labels) <= MANY else FEWER_ROUNDS)
    places = {name: at for at, name in enumerate(spec.classes)}
    labels = np.array([places[label] for label in answers.labels], np.int64)
    is_malignant, malignant = np.isin(labels, spec.malignant_indices), spec.malignant_indices
    risks = np.zeros(len(labels)) if answers.risks is None else answers.risks
    thresholds = {name: as_shown(value) for name, value in spec.thresholds.items()}
    threshold = thresholds.get(spec.operating_point) if answers.risks is not None else None
    group = find_column(columns, GROUPS)
    groups = [known.get(group, "") or f"\0{at}" for at, known in enumerate(answers.metadata)] if group else _apart(len(labels))
    figures = describe(
        labels,
        answers.probabilities,
        spec.classes,
        malignant,
        thresholds=thresholds if threshold is not None else {},
        attributes=_attributes(answers.metadata, columns),
        risks=risks,
    )
    judged = Judged(labels, answers.probabilities, is_malignant, risks, threshold, groups)
    return figures | {
        "interval_95": _intervals(figures, judged, spec, rounds),
        "roc": [] if threshold is None else roc(is_malignant, risks),
        "grouped_by": group,
        "rounds": rounds,
    }


def find_column(columns: Sequence[str], known: Sequence[str]) -> str | None:
    """The first of the known columns that a table has, as it is written there."""
    written = {normalise(name): name for name in reversed(columns)}
    return next((written[key] for key in known if key in written), None)


def roc(positive: BoolArray, scores: FloatArray, points: int = CURVE_POINTS) -> list[dict[str, float]]:
    """The empirical ROC curve, from nothing flagged to all flagged; of many different scores some, evenly spread.

    Empty where one side has no image.
    """
    hits, alarms = int(positive.sum()), int((~positive).sum())
    if not hits or not alarms:
        return []
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]), 1.0))  # of equal scores the last: they are flagged together
    if len(last) > points:
        last = last[np.unique(np.linspace(0, len(last) - 1, points).astype(int))]
    found, false = np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
    curve = zip(scores[order][last].tolist(), (found / hits).tolist(), (1 - false / alarms).tolist(), strict=True)
    return [{"threshold": at, "sensitivity": sensitivity, "specificity": rest} for at, sensitivity, rest in curve]


def _intervals(figures: dict[str, Any], judged: Judged, spec: ModelSpec, rounds: int) -> dict[str, Any]:
    """Of shares the outer bounds of Wilson's interval and the bootstrap's: one is wrong for images of one lesion, the other for
    few images that are all right or all wrong.
    """
    drawn = resampled(judged, rounds=rounds) if rounds else {}
    nothing = (float("nan"), float("nan"))
    recalls: dict[str, Interval] = {}
    for at, (name, row) in enumerate(zip(spec.classes, figures["confusion"], strict=True)):
        recalls[name] = wider(wilson(row[at], sum(row)), drawn.pop(f"recall_{at}", nothing))
    found: dict[str, Any] = {**drawn, "recall": recalls}
    if judged.threshold is not None:
        flagged = judged.risks >= judged.threshold
        for name, right in (("sensitivity", flagged[judged.is_malignant]), ("specificity", ~flagged[~judged.is_malignant])):
            found[name] = wider(wilson(int(right.sum()), len(right)), drawn.get(name, nothing))
    return found


def _attributes(metadata: Sequence[Mapping[str, str]], columns: Sequence[str]) -> list[dict[str, str]]:
    found = {name: column for name, known in ATTRIBUTES.items() if (column := find_column(columns, known))}
    return [{name: known.get(column, "").strip() for name, column in found.items()} for known in metadata]


def _apart(images: int) -> list[str]:
    return [str(at) for at in range(images)]
