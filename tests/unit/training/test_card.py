"""The model card and the report say what the evaluation found."""

from __future__ import annotations

import pytest

from tests.support.finished_run import drawn_dataset, finished_run
from training.card import render_card
from training.evaluate import evaluate_run
from training.export import describe_run
from training.report import render_report
from training.runs import RunFolder

CLASSES = ("akiec", "mel", "nv")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("run")
    return finished_run(folder, drawn_dataset(CLASSES, 600), signal=0.2, history={"loss": [1.0, 0.5], "val_loss": [1.1, 0.9]})


def test_the_card_shows_screening_figures_with_intervals(run: RunFolder) -> None:
    spec, evaluation = describe_run(run, "toy")
    card = render_card(run.record(), spec, evaluation)
    melanoma = evaluation["screening"]["melanoma"]
    value = melanoma["curve"]["sensitivity_at_specificity_90"]
    low, high = melanoma["curve_interval_95"]["sensitivity_at_specificity_90"]
    assert f"| sensitivity at 90 % specificity | {100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f}) |" in card
    point = melanoma["carried"]["sensitivity_95"]
    spread = point["interval_95"]
    assert f"| melanoma, sensitivity 95 % | {point['threshold']:.3f} ({spread['threshold'][0]:.3f} to " in card
    assert f"| {point['needed_to_review']:.1f} ({spread['needed_to_review'][0]:.1f} to " in card
    assert f"| log-loss, nats | {evaluation['headline']['log_loss']:.3f} |" in card
    assert "| all classes alike: 1.099 |" in card
    assert "- malignant: more net benefit than flagging all or none for those who would act from " in card


def test_the_report_draws_both_questions(run: RunFolder) -> None:
    page = render_report(run, evaluate_run(run, rounds=20))
    assert page.count("<svg") == 4  # training, confusion, reliability, screening
    assert page.count("decision curve") == 2
    assert "<h3>melanoma: 40 of 120 images, AUC " in page
    assert "specificity at sensitivity 95 %" in page


def test_without_intervals_the_report_has_the_figures(run: RunFolder) -> None:
    assert "needed to review" in render_report(run, evaluate_run(run, rounds=0))
