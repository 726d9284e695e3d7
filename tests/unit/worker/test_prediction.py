"""Outcomes: what label, score, risk and flag mean, and how a rejected batch is taken apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BatchRejectedError, ItemErrorCode
from core.modelspec import ModelSpec, NoveltySpec
from core.notes import ItemNote
from serving.client import Answer, PendingPrediction, PredictClient
from serving.outcomes import DecodedItem, make_outcomes
from tests.support.tiny_model import tiny_spec
from worker.batches import Batch
from worker.prediction import Predictor

SPEC = ModelSpec(
    name="m",
    classes=("benign", "bad", "worse"),
    input_height=2,
    input_width=2,
    malignant=("bad", "worse"),
    thresholds={"p": 0.5},
    operating_point="p",
    preprocessing_hash="x",
)


class PickyClient(PredictClient):
    """Refuses any batch that holds an image of shade 77, as a model with an assertion in its graph does; keeps count."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1")
        self.calls: list[int] = []

    def predict(
        self, model: str, version: int, images: npt.NDArray[np.uint8], *, classes: int | None = None
    ) -> npt.NDArray[np.float32]:
        self.calls.append(len(images))
        if (images.reshape(len(images), -1).mean(axis=1) == 77).any():
            raise BatchRejectedError("assertion failed: 77")
        return np.full((len(images), classes or 1), 1 / (classes or 1), np.float32)

    def predict_async(  # type: ignore[no-untyped-def]
        self,
        model: str,
        version: int,
        images: npt.NDArray[np.uint8],
        *,
        classes: int | None = None,
        row_by_row: bool = False,
        novelty: bool = False,
    ):
        held = images.copy()
        return PendingPrediction(lambda: Answer(self.predict(model, version, held, classes=classes)), lambda: None)


def batch_of(shades: list[int], first: int = 0) -> Batch:
    images = np.stack([np.full((28, 28, 3), shade, np.uint8) for shade in shades])
    return Batch(images, [DecodedItem(first + n, f"{first + n}.png", 28, 28) for n in range(len(shades))])


def test_label_score_risk_and_flag() -> None:
    items = [DecodedItem(4, "a.jpg", 600, 450, (ItemNote.GREYSCALE, ItemNote.BLURRED)), DecodedItem(5, "b.jpg", 10, 20)]
    probabilities = np.array([[0.7, 0.2, 0.1], [0.45, 0.15, 0.4]], np.float32)
    first, second = make_outcomes(SPEC, items, Answer(probabilities))
    assert (first.label, first.flag, first.item_no, first.width, first.height) == ("benign", False, 4, 600, 450)
    assert (first.notes, second.notes) == ((ItemNote.GREYSCALE, ItemNote.BLURRED), ())
    assert first.score == float(np.float32(0.7))
    assert (second.label, second.flag) == ("benign", True), "the flag follows the risk, not the label"
    assert abs((second.risk or 0) - 0.55) < 1e-6
    assert np.frombuffer(second.probabilities or b"", "<f4").tolist() == probabilities[1].tolist()


def test_a_row_without_probabilities_fails_alone() -> None:
    nan = float("nan")
    probabilities = np.array([[0.7, 0.2, 0.1], [nan, nan, nan], [0.1, 0.1, 0.8]], np.float32)
    outcomes = list(make_outcomes(SPEC, [DecodedItem(n, f"{n}.jpg", 6, 4) for n in range(3)], Answer(probabilities)))
    assert [outcome.label for outcome in outcomes] == ["benign", None, "worse"]
    assert [outcome.error_code for outcome in outcomes] == [None, ItemErrorCode.REJECTED_BY_MODEL, None]
    assert (outcomes[1].risk, outcomes[1].probabilities, outcomes[1].flag) == (None, None, None)


NOVEL = SPEC.model_copy(update={"novelty": NoveltySpec(method="mahalanobis", threshold=1.0)})


def test_an_image_above_the_threshold_of_novelty_gets_the_note() -> None:
    """0.99999998 is 1.0 as float32: what is shown as the threshold is not above it."""
    probabilities = np.tile(np.array([0.7, 0.2, 0.1], np.float32), (4, 1))
    answer = Answer(probabilities, np.array([0.4, 0.99999998, 1.1, 250.0], np.float32))
    items = [DecodedItem(n, f"{n}.jpg", 6, 4, (ItemNote.BLURRED,)) for n in range(4)]
    outcomes = list(make_outcomes(NOVEL, items, answer))
    assert [outcome.novelty for outcome in outcomes] == [0.4, 1.0, 1.1, 250.0]
    blurred, unlike = (ItemNote.BLURRED,), (ItemNote.BLURRED, ItemNote.UNLIKE_TRAINING)
    assert [outcome.notes for outcome in outcomes] == [blurred, blurred, unlike, unlike]
    assert {outcome.label for outcome in outcomes} == {"benign"}


def test_a_novelty_that_is_no_number_fails_its_row_alone() -> None:
    answer = Answer(np.full((3, 3), 1 / 3, np.float32), np.array([0.5, np.nan, 2.0], np.float32))
    outcomes = list(make_outcomes(NOVEL, [DecodedItem(n, f"{n}.jpg", 6, 4) for n in range(3)], answer))
    assert [outcome.error_code for outcome in outcomes] == [None, ItemErrorCode.REJECTED_BY_MODEL, None]
    assert outcomes[1].error == "model m answered this image with a novelty that is no finite number"
    assert (outcomes[1].novelty, outcomes[1].label, outcomes[1].risk) == (None, None, None)


def test_a_version_that_measures_no_novelty_gives_rows_without() -> None:
    (outcome,) = make_outcomes(SPEC, [DecodedItem(0, "a", 1, 1)], Answer(np.array([[0.7, 0.2, 0.1]], np.float32)))
    assert (outcome.novelty, outcome.notes) == (None, ())


def test_risk_and_flag_are_those_that_are_shown() -> None:
    """0.2 + 0.5 of float32 is 0.7000000029802322: shown as 0.7, stored as 0.7, and flagged at a threshold of 0.7."""
    spec = SPEC.model_copy(update={"thresholds": {"p": 0.7}})
    probabilities = np.array([[0.3, 0.2, 0.5], [0.3, 0.7, 0.0], [0.31, 0.69, 0.0]], np.float32)
    outcomes = list(make_outcomes(spec, [DecodedItem(n, "a", 1, 1) for n in range(3)], Answer(probabilities)))
    assert [(outcome.risk, outcome.flag) for outcome in outcomes] == [(0.7, True), (0.7, True), (0.69, False)]


def test_without_malignant_classes_there_is_no_risk_but_an_uncertainty() -> None:
    spec = ModelSpec(name="m", classes=("a", "b"), input_height=2, input_width=2, preprocessing_hash="x")
    probabilities = np.array([[0.5, 0.5], [1.0, 0.0]], np.float32)
    outcomes = list(make_outcomes(spec, [DecodedItem(n, "a", 1, 1) for n in range(2)], Answer(probabilities)))
    assert [(each.risk, each.flag, each.uncertainty) for each in outcomes] == [(None, None, 1.0), (None, None, 0.0)]


def test_of_several_labels_at_once_the_highest_malignant_probability_is_the_risk() -> None:
    spec = SPEC.model_copy(update={"multi_label": True})
    (outcome,) = make_outcomes(spec, [DecodedItem(0, "a", 1, 1)], Answer(np.array([[0.9, 0.7, 0.4]], np.float32)))
    assert (outcome.label, outcome.risk, outcome.flag, outcome.uncertainty) == ("benign", 0.7, True, None)


def test_at_most_two_batches_are_in_flight_and_order_is_kept() -> None:
    predictor = Predictor(PickyClient(), "tiny", 1, tiny_spec())
    assert list(predictor.submit(batch_of([1, 2], 0))) == []
    assert [o.item_no for o in predictor.submit(batch_of([3, 4], 2))] == [0, 1]
    assert [o.item_no for o in predictor.drain()] == [2, 3]


@given(shades=st.lists(st.sampled_from([77, 10, 200]), min_size=1, max_size=16))
def test_only_the_refused_images_fail(shades: list[int]) -> None:
    client = PickyClient()
    predictor = Predictor(client, "tiny", 1, tiny_spec())
    outcomes = [*predictor.submit(batch_of(shades)), *predictor.drain()]
    assert sorted(o.item_no for o in outcomes) == list(range(len(shades)))
    refused = {o.item_no for o in outcomes if o.error_code == "rejected_by_model"}
    assert refused == {n for n, shade in enumerate(shades) if shade == 77}
    assert len(client.calls) <= 1 + 2 * len(shades) * 5
