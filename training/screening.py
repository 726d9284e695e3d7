"""What a score is worth for screening: sensitivity and specificity at fixed values of the other, the number of images to review
for each one found, and the net benefit.

Two questions are asked of a model, each with a score of its own: melanoma against everything else, by the probability of
melanoma, and malignant against benign, by the risk (the summed probability of the malignant classes). An image is flagged if
score ≥ threshold.

Figures "on the curve" take the threshold that is best on the test part itself: they describe the ROC curve. Figures "carried"
take the threshold from the validation part, as a user has to. Their intervals resample the lesions of both parts, so that they
hold the doubt about the threshold too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.evaluation import metrics
from core.evaluation.bootstrap import percentiles, resamples
from training.datasets.base import FloatArray, IntArray

LEVELS = (80, 90, 95)  # per cent
MELANOMA = frozenset({"mel", "melanoma"})
NET_BENEFIT_AT = tuple(round(0.01 * step, 2) for step in range(1, 61))  # probabilities at which one would act
CARRIED = ("sensitivity", "specificity", "needed_to_review")
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """One part under one question.

    Attributes:
        positive: bool [n].
        scores: float [n], calibrated probabilities of being positive.
        groups: [n], the lesions.
    """

    positive: BoolArray
    scores: FloatArray
    groups: Sequence[str]

    def at(self, positions: IntArray) -> Scored:
        """These images alone, without groups."""
        return Scored(self.positive[positions], self.scores[positions], ())

    @property
    def has_both(self) -> bool:
        """Whether there are positive and negative images."""
        return bool(self.positive.any() and not self.positive.all())


def questions(classes: Sequence[str], malignant: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """What is asked: name → positions of the positive classes. Melanoma only where it is not all that is malignant."""
    melanoma = tuple(i for i, name in enumerate(classes) if name.lower() in MELANOMA)
    asked = {"melanoma": melanoma} if set(melanoma) != set(malignant) else {}
    asked["malignant"] = tuple(malignant)
    return {name: positions for name, positions in asked.items() if 0 < len(positions) < len(classes)}


def scored(labels: IntArray, probabilities: FloatArray, groups: Sequence[str], positive: tuple[int, ...]) -> Scored:
    """A part's labels int64 [n] and probabilities float [n, classes] under the question of these classes."""
    return Scored(np.isin(labels, positive), metrics.risk(probabilities, positive), groups)


def screening_figures(test: Scored, validation: Scored | None, *, rounds: int, seed: int = 0) -> dict[str, Any]:
    """All figures of one question.

    Args:
        test: the part that is measured.
        validation: the part that thresholds come from; None where none was held out: nothing is carried then.
        rounds: bootstrap resamples; 0 leaves the intervals out.
        seed: of the draws.

    Returns:
        `images`, `positive`, `auc`; `curve`: figure → value; `carried`: threshold's name → its figures; `decision_curve`: rows;
        with intervals, `curve_interval_95` and in each of `carried` an `interval_95`. Empty where one side has no image.
    """
    if not test.has_both:
        return {}
    figures: dict[str, Any] = {
        "images": len(test.positive),
        "positive": int(test.positive.sum()),
        "auc": metrics.auc(test.positive, test.scores),
        "curve": curve_figures(test.positive, test.scores),
        "carried": {},
        "decision_curve": decision_curve(test.positive, test.scores),
    }
    chosen = thresholds(validation.positive, validation.scores) if validation and validation.has_both else {}
    for name, threshold in chosen.items():
        figures["carried"][name] = figures_at(test.positive, test.scores, threshold)
    if rounds:
        _add_intervals(figures, test, validation if chosen else None, rounds, seed)
    return figures


def curve_figures(positive: BoolArray, scores: FloatArray) -> dict[str, float]:
    """The best sensitivity with at least this specificity, and the best specificity with at least this sensitivity.

    Both are corners of the empirical ROC curve, no interpolation. NaN where one side is empty.
    """
    figures = {}
    hits, rejected = np.sort(scores[positive]), np.sort(scores[~positive])
    for name, threshold in thresholds(positive, scores).items():
        kind, level = name.split("_")
        if kind == "specificity":
            figures[f"sensitivity_at_specificity_{level}"] = 1.0 - np.searchsorted(hits, threshold) / max(len(hits), 1)
        else:
            figures[f"specificity_at_sensitivity_{level}"] = np.searchsorted(rejected, threshold) / max(len(rejected), 1)
    return {name: float(value) for name, value in figures.items()}


def thresholds(positive: BoolArray, scores: FloatArray) -> dict[str, float]:
    """For each level the highest threshold of this sensitivity, then the lowest of this specificity; NaN where none exists."""
    hits, rejected = np.sort(scores[positive])[::-1], np.sort(scores[~positive])
    found = {}
    for level in LEVELS:
        found[f"sensitivity_{level}"] = float(hits[_needed(level, hits) - 1]) if len(hits) else float("nan")
    for level in LEVELS:  # the next number above the highest score that must not be flagged
        above = np.nextafter(rejected[_needed(level, rejected) - 1], np.inf) if len(rejected) else np.nan
        found[f"specificity_{level}"] = float(above)
    return found


def _needed(level: int, scores: FloatArray) -> int:
    """How many of these are at least `level` per cent of them."""
    return -(-level * len(scores) // 100)


def figures_at(positive: BoolArray, scores: FloatArray, threshold: float) -> dict[str, float]:
    """Those of `metrics.operating_point`, and the number of images to review for each positive one that is found."""
    point = metrics.operating_point(positive, scores, threshold)
    return point | {"needed_to_review": 1.0 / point["precision"] if point["precision"] > 0 else float("nan")}


def decision_curve(positive: BoolArray, scores: FloatArray) -> list[dict[str, float]]:
    """Net benefit of acting on score ≥ p, for each p of `NET_BENEFIT_AT`, and of acting on all; acting on none has 0.

    net benefit = true positives / n - false positives / n · p / (1 - p) (Vickers and Elkin, Med Decis Making 2006;26:565-574):
    p is the probability at which a person would act, so p / (1 - p) is what a needless action costs against a missed case. It
    needs calibrated scores.
    """
    count, prevalence = len(positive), float(positive.mean())
    rows = []
    for at in NET_BENEFIT_AT:
        flagged, odds = scores >= at, at / (1.0 - at)
        right, wrong = int((flagged & positive).sum()), int((flagged & ~positive).sum())
        rows.append({"at": at, "model": right / count - wrong / count * odds, "all": prevalence - (1.0 - prevalence) * odds})
    return rows


def useful_range(rows: Sequence[dict[str, float]]) -> tuple[float, float] | None:
    """The first and last p at which the model beats acting on all and acting on none; None where it never does."""
    useful = [row["at"] for row in rows if row["model"] > max(row["all"], 0.0)]
    return (useful[0], useful[-1]) if useful else None


def _add_intervals(figures: dict[str, Any], test: Scored, validation: Scored | None, rounds: int, seed: int) -> None:
    curve: dict[str, list[float]] = {name: [] for name in figures["curve"]}
    carried: dict[str, dict[str, list[float]]] = {
        name: {key: [] for key in ("threshold", *CARRIED)} for name in figures["carried"]
    }
    held_out = resamples(validation.groups, rounds=rounds, seed=seed + 1) if validation else iter(())
    for chosen in resamples(test.groups, rounds=rounds, seed=seed):
        drawn = test.at(chosen)
        if drawn.has_both:
            for name, value in curve_figures(drawn.positive, drawn.scores).items():
                curve[name].append(value)
        if validation:
            moved = validation.at(next(held_out))
            for name, threshold in thresholds(moved.positive, moved.scores).items():
                point = figures_at(drawn.positive, drawn.scores, threshold)
                for key, values in carried[name].items():
                    values.append(point[key])
    figures["curve_interval_95"] = {name: percentiles(values) for name, values in curve.items()}
    for name, drawn_figures in carried.items():
        figures["carried"][name]["interval_95"] = {key: percentiles(values) for key, values in drawn_figures.items()}
