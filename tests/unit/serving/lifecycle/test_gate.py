"""Which promotions the figures of a version refuse."""

from __future__ import annotations

import pytest

from core.modelspec import ModelSpec
from serving.lifecycle.gate import judge_promotion
from tests.support.tiny_model import tiny_spec

GOOD = {
    "test_accuracy": 0.80,
    "test_majority_accuracy": 0.67,
    "test_balanced_accuracy": 0.70,
    "test_macro_auc": 0.95,
    "test_malignant_auc": 0.90,
}


def spec(split: str = "grouped, seed 7", **changed: float) -> ModelSpec:
    return tiny_spec().model_copy(
        update={"metrics": GOOD | {f"test_{key}": value for key, value in changed.items()}, "split": split}
    )


UNMEASURED = tiny_spec()


@pytest.mark.parametrize(
    ("candidate", "replaced", "objections", "notes"),
    [
        (spec(), None, [], []),
        (spec(), spec(), [], []),
        (spec(balanced_accuracy=0.696, macro_auc=0.946), spec(), [], []),
        (
            spec(balanced_accuracy=0.69),
            spec(),
            ["its balanced accuracy is 0.690; that of the version it replaces is 0.700"],
            [],
        ),
        (spec(malignant_auc=0.5), spec(), ["its malignant AUC is 0.500"], []),
        (spec(macro_auc=0.9, malignant_auc=0.8), spec(), ["its macro AUC is 0.900", "its malignant AUC is 0.800"], []),
        (spec(accuracy=0.66), None, ["its accuracy is 0.660; to call every image by the most frequent class gives 0.670"], []),
        (spec("another", balanced_accuracy=0.1), spec(), [], ["its evaluation is another one"]),
        (spec(), UNMEASURED, [], []),
        (UNMEASURED, None, [], ["it carries no evaluation: nobody has measured"]),
        (UNMEASURED, UNMEASURED, [], ["it carries no evaluation"]),
        (UNMEASURED, spec(), ["it carries no evaluation, and the version that it replaces carries one"], []),
    ],
    ids=[
        *("first", "equal", "within chance", "worse", "worse AUC", "worse twice", "majority", "other evaluation"),
        *("measured after unmeasured", "unmeasured", "unmeasured again", "unmeasured after measured"),
    ],
)
def test_judgement(candidate: ModelSpec, replaced: ModelSpec | None, objections: list[str], notes: list[str]) -> None:
    judged = judge_promotion(candidate, replaced)
    for found, expected in ((judged.objections, objections), (judged.notes, notes)):
        assert len(found) == len(expected)
        assert all(text.startswith(begin) for text, begin in zip(found, expected, strict=True))
