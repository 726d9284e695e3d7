"""Whether a version may become `stable`, by the figures that it carries itself (docs/adr/0007-promotion-gate.md).

The figures are those of its evaluation, in its spec: `describe` answers them, and its card shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from core.modelspec import ModelSpec

ACCURACY, MAJORITY = "test_accuracy", "test_majority_accuracy"
COMPARED = {
    "test_balanced_accuracy": "balanced accuracy",
    "test_macro_auc": "macro AUC",
    "test_malignant_auc": "malignant AUC",
}
SLACK = 0.005  # a test part of some thousand images does not tell smaller differences from chance


@dataclass(frozen=True)
class Judgement:
    """What is to be said of a promotion."""

    objections: tuple[str, ...] = ()  # each refuses it, unless it is forced
    notes: tuple[str, ...] = field(default=())  # said, and passed


def judge_promotion(candidate: ModelSpec, replaced: ModelSpec | None) -> Judgement:
    """Compare a version with the majority class, and with the version whose place it would take.

    Args:
        candidate: what the version says of itself.
        replaced: what the present one says; None: there is none, or it says nothing.
    """
    if not has_evaluation(candidate):
        return _judge_unmeasured(replaced)
    objections = [*_worse_than_majority(candidate)]
    notes: tuple[str, ...] = ()
    if replaced is not None and has_evaluation(replaced):
        if _is_same_evaluation(candidate, replaced):
            objections += _worse_than(candidate, replaced)
        else:
            notes = ("its evaluation is another one than that of the version it replaces: their figures cannot be compared",)
    return Judgement(tuple(objections), notes)


def has_evaluation(spec: ModelSpec) -> bool:
    """Whether it carries the figures of one."""
    return ACCURACY in spec.metrics


def _judge_unmeasured(replaced: ModelSpec | None) -> Judgement:
    if replaced is not None and has_evaluation(replaced):
        return Judgement(
            ("it carries no evaluation, and the version that it replaces carries one: nobody can say which is better",)
        )
    return Judgement(notes=("it carries no evaluation: nobody has measured here how good it is",))


def _worse_than_majority(spec: ModelSpec) -> list[str]:
    accuracy, majority = spec.metrics[ACCURACY], spec.metrics.get(MAJORITY)
    if majority is None or accuracy >= majority:
        return []
    return [f"its accuracy is {accuracy:.3f}; to call every image by the most frequent class gives {majority:.3f}"]


def _is_same_evaluation(a: ModelSpec, b: ModelSpec) -> bool:
    return bool(a.split) and (a.dataset, a.split, a.classes, a.malignant) == (b.dataset, b.split, b.classes, b.malignant)


def _worse_than(candidate: ModelSpec, replaced: ModelSpec) -> list[str]:
    return [
        f"its {words} is {new:.3f}; that of the version it replaces is {old:.3f} on the same evaluation"
        for key, words in COMPARED.items()
        if (new := candidate.metrics.get(key)) is not None
        and (old := replaced.metrics.get(key)) is not None
        and new < old - SLACK
    ]
