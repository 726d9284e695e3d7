"""Novelty over the wire: asked for where the model says that it has it, and refused where it is not what it should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidRequestError, ModelContractError
from core.modelspec import NoveltySpec
from serving.client import PredictClient
from serving.contract import check_signatures
from serving.lifecycle.golden import Golden
from serving.lifecycle.verification import record_golden, verify_served
from serving.repository import ModelVersion
from tests.support.scripted_serving import answer_of, scripted_servers
from tests.support.servers import running_serving
from tests.support.tiny_model import export_tiny_model, tiny_novelty, tiny_spec


@pytest.fixture
def scripted() -> Iterator[Any]:
    with scripted_servers() as serve:
        yield serve


@pytest.fixture
def client(serving_address: str) -> Iterator[PredictClient]:
    with PredictClient(serving_address) as client:
        yield client


def random_images(count: int) -> Any:
    return np.random.default_rng(7).integers(0, 256, (count, 28, 28, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("novelty", "words"),
    [
        pytest.param(None, "expected an output 'novelty', got \\['probabilities'\\]", id="missing"),
        pytest.param([1.0, 2.0], r"expected novelty float32 \[1\], got float32 \[2\]", id="rows"),
        pytest.param([[1.0]], r"expected novelty float32 \[1\], got float32 \[1, 1\]", id="shape"),
        pytest.param([float("inf")], "as finite numbers, got inf", id="infinite"),
    ],
)
def test_novelty_that_breaks_the_contract_is_refused(scripted: Any, novelty: Any, words: str) -> None:
    _, client = scripted(answer_of([[1.0]], novelty=novelty))
    with pytest.raises(ModelContractError, match=words):
        client.predict_async("m", 1, random_images(1), novelty=True).answer()
    assert client.predict_async("m", 1, random_images(1)).answer().novelty is None, "not asked for, not looked at"


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf")], ids=["nan", "inf", "-inf"])
def test_novelty_that_is_no_number_spoils_its_own_row_only(scripted: Any, odd: float) -> None:
    _, client = scripted(answer_of([[1.0], [1.0], [1.0]], novelty=[0.5, odd, -7.0]))
    found = client.predict_async("m", 1, random_images(3), row_by_row=True, novelty=True).answer().novelty
    assert found is not None
    assert found[[0, 2]].tolist() == [0.5, -7.0]
    assert np.isnan(found[1])


def test_a_model_with_novelty_is_described_and_asked(tmp_path: Path) -> None:
    export_tiny_model(tmp_path / "tiny", 1, novel=True)
    images = random_images(5) // np.array([1, 2, 3, 4, 5], np.uint8)[:, None, None, None]
    with running_serving(tmp_path / "tiny", "tiny", tmp_path / "log") as address, PredictClient(address) as client:
        spec = client.describe("tiny").spec
        assert spec.novelty == NoveltySpec(method="distance from grey", threshold=1.0)
        answer = client.predict_async("tiny", 1, images, classes=7, novelty=True).answer()
        np.testing.assert_allclose(answer.novelty, tiny_novelty(images), atol=1e-5)
        np.testing.assert_allclose(answer.probabilities, client.predict("tiny", 1, images, classes=7), atol=1e-6)
        check_the_golden_batch_holds_novelty(client, ModelVersion("tiny", 1, tmp_path / "tiny" / "1"))


def check_the_golden_batch_holds_novelty(client: PredictClient, version: ModelVersion) -> None:
    """Recorded with it, verified with it, and refused where it is another, or where there is none."""
    golden = record_golden(client, version)
    assert golden.novelty is not None
    np.testing.assert_allclose(golden.novelty, tiny_novelty(golden.images), atol=1e-5)
    assert verify_served(client, version).golden_images == len(golden.images)
    wrong = golden.novelty.copy()
    wrong[3] += 0.2
    Golden(golden.images, golden.probabilities, wrong).save(version)
    words = rf"in its novelty: {golden.novelty[3]:.3f} instead of {wrong[3]:.3f} \(allowed: 5%"
    with pytest.raises(ModelContractError, match=words):
        verify_served(client, version)
    with pytest.raises(ModelContractError, match="in its novelty: it gives none"):
        golden.compare(golden.probabilities, None, "tiny")
    Golden(golden.images, golden.probabilities).save(version)  # as older versions have it
    assert verify_served(client, version).largest_difference < 1e-6
    Golden(golden.images, golden.probabilities, golden.novelty[:2]).save(version)
    with pytest.raises(InvalidRequestError, match=r"expected novelty float32 \[8\], got float32 \[2\]"):
        verify_served(client, version)


def test_a_model_that_says_it_has_novelty_and_gives_none_is_refused(client: PredictClient) -> None:
    """The other way round nothing is asked for: a second output that `describe` does not speak of may be there."""
    signatures = client.metadata("tiny")
    check_signatures(signatures, tiny_spec(), "describe")
    with pytest.raises(ModelContractError, match=r"expected an output 'novelty', got \['probabilities'\]"):
        check_signatures(signatures, tiny_spec(novel=True), "describe")
    outputs = signatures["serving_default"].outputs
    outputs["novelty"].CopyFrom(outputs["probabilities"])
    check_signatures(signatures, tiny_spec(), "describe")
    with pytest.raises(ModelContractError, match=r"expected 'novelty' to be float \[-1\], got float \[-1, 7\]"):
        check_signatures(signatures, tiny_spec(novel=True), "describe")
