"""The whole way of the starter's recipe on a small tree of pictures: train, be killed, resume, evaluate, export, serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import keras
import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidRequestError, ModelContractError
from serving.client import PredictClient
from serving.lifecycle.golden import Golden
from serving.lifecycle.verification import verify_served
from serving.repository import ModelVersion
from tests.support.servers import ROOT, running_serving
from training.calibrate import calibrate_run
from training.datasets.base import UInt8Array
from training.experiments.registry import EXPERIMENTS
from training.export import export_run, next_version
from training.results import keep
from training.runs import RunFolder
from training.scaling import apply_temperature
from training.served import Served, compare_served

EPOCHS = 3
pytestmark = pytest.mark.timeout(400)


def write_tree(root: Path) -> None:
    """Forty pictures of each of two classes, distinguished by their colour."""
    generator = np.random.default_rng(0)
    for label, colour in {"melanoma": (90, 60, 60), "nevus": (190, 140, 120)}.items():
        (root / label).mkdir(parents=True)
        for number in range(40):
            pixels = np.clip(generator.normal(colour, 25, (40, 60, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / label / f"{label}_{number}.png")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was killed in its second epoch and then resumed."""
    folder = tmp_path_factory.mktemp("run")
    write_tree(folder / "tree")
    command = [sys.executable, "-m", "training.train", "starter", "--data", str(folder / "tree"), "--out", str(folder / "run")]
    command += ["--epochs", str(EPOCHS), "--resume", "--mixed-precision"]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        seen = list(iter(first.stdout.readline, f"Epoch 2/{EPOCHS}\n"))
        first.kill()
    assert any("leakage:" in line for line in seen)
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=True)
    assert f"Epoch 1/{EPOCHS}" not in done.stdout
    assert f"Epoch 2/{EPOCHS}" in done.stdout
    return RunFolder(folder / "run")


@pytest.fixture(scope="module")
def published(run: RunFolder) -> Path:
    return export_run(run, model="starter", root=run.path / "models", tta=True)


@pytest.fixture(scope="module")
def address(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_serving(published.parent, "starter", tmp_path_factory.mktemp("serving") / "log") as address:
        yield address


@pytest.fixture
def client(address: str) -> Iterator[PredictClient]:
    with PredictClient(address) as client:
        yield client


def test_a_model_trained_in_bfloat16_is_kept_in_float32(run: RunFolder) -> None:
    model = keras.models.load_model(run.model_path)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    assert {weight.dtype for weight in model.weights} == {"float32"}


def test_the_record_is_whole_in_spite_of_the_interruption(run: RunFolder) -> None:
    record, split = run.record(), run.split()
    assert len(record.history["loss"]) == EPOCHS
    assert record.classes == ("melanoma", "nevus")
    assert record.malignant == ("melanoma",)
    assert record.parameters > 500_000
    assert split.kind == "grouped"
    assert len(split.train) + len(split.validation) + len(split.test) == 80
    assert [sample.id for sample in run.samples("test")] == list(split.test)
    assert run.leakage_lines()


def test_evaluation_on_the_command_line(run: RunFolder) -> None:
    command = [sys.executable, "-m", "training.evaluate", str(run.path), "--report"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    figures = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))
    assert figures["images"] == len(run.split().test)
    assert set(figures["classes"]) == {"melanoma", "nevus"}
    assert set(figures["operating_points"]) == {"sensitivity_90", "sensitivity_95"}
    page = (run.path / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 4
    screening = figures["screening"]["malignant"]
    assert screening["positive"] == sum(sample.label == "melanoma" for sample in run.samples("test"))
    assert screening["carried"]["sensitivity_90"]["threshold"] == pytest.approx(
        figures["operating_points"]["sensitivity_90"]["threshold"], abs=1e-6
    )
    assert "not a diagnosis" in page


def test_result_file(run: RunFolder, tmp_path: Path) -> None:
    result = json.loads(keep(run, tmp_path).read_text(encoding="utf-8"))
    assert result["epochs"] == EPOCHS
    assert result["test"]["headline"].keys() >= {"accuracy", "balanced_accuracy", "macro_auc", "ece"}


def test_published_version_is_complete_and_the_next_one_has_its_number(run: RunFolder, published: Path) -> None:
    assert published.name == "1"
    assert next_version(published.parent) == 2
    assert [path.name for path in published.parent.iterdir()] == ["1"]  # nothing half-written is left beside it
    extra = {path.name for path in (published / "assets.extra").iterdir()}
    assert extra == {"split.json", "spec.json", "evaluation.json", "tf_serving_warmup_requests", "golden.npz"}
    assert str(run.path) not in (published / "README.md").read_text(encoding="utf-8")


def test_a_server_gives_the_golden_answers(published: Path, client: PredictClient) -> None:
    golden = Golden.load(ModelVersion("starter", 1, published))
    assert golden is not None
    assert golden.novelty is not None
    verified = verify_served(client, ModelVersion("starter", 1, published))
    assert (verified.golden_images, verified.largest_difference) == (8, pytest.approx(0, abs=1e-5))


def test_warm_up_is_what_the_official_messages_say(published: Path) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    path = published / "assets.extra" / "tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    requests = [PredictionLog.FromString(record).predict_log.request for record in records]
    asked = [(each.model_spec.signature_name, tf.make_ndarray(each.inputs["images"]).shape) for each in requests]
    side = EXPERIMENTS["starter"].height
    wanted = [("serving_default", 1), ("serving_default", 32), ("serving_default", 64), ("explain", 1)]
    assert asked == [(name, (count, side, side, 3)) for name, count in wanted]


def pixels_of_the_test_part(run: RunFolder) -> UInt8Array:
    from training.cache import load_pixels
    from training.datasets.registry import load_dataset

    dataset, record = load_dataset("folders", run.path.parent / "tree"), run.record()
    return load_pixels(dataset, height=record.height, width=record.width)[dataset.positions(run.split().test)]


def test_the_signature_of_views_gives_the_mean_over_the_symmetries(run: RunFolder, address: str, client: PredictClient) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    from training.views import views

    pixels = pixels_of_the_test_part(run)
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "starter", "tta"
    request.inputs["images"].CopyFrom(tf.make_tensor_proto(pixels))
    with grpc.insecure_channel(address) as channel:
        reply = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=60)
    each = [client.predict("starter", 1, view, classes=2) for view in views(pixels)]
    assert len(each) == 8
    assert max(abs(each[0] - each[1]).max(), abs(each[0] - each[2]).max()) > 1e-4  # the views differ, or this shows nothing
    np.testing.assert_allclose(tf.make_ndarray(reply.outputs["probabilities"]), np.mean(each, axis=0), atol=1e-5)
    novel = [client.predict_async("starter", 1, view, novelty=True).answer().novelty for view in views(pixels)]
    np.testing.assert_allclose(tf.make_ndarray(reply.outputs["novelty"]), np.mean(novel, axis=0), rtol=1e-3)


def test_a_second_output_says_how_unlike_the_training_pictures_an_image_is(run: RunFolder, client: PredictClient) -> None:
    from training.novelty.pictures import draw_kinds

    spec = client.describe("starter").spec
    assert spec.novelty is not None
    figures = json.loads((run.path / "models" / "starter" / "1" / "assets.extra" / "evaluation.json").read_text())["novelty"]
    assert (figures["method"], figures["threshold"]) == (spec.novelty.method, spec.novelty.threshold)
    assert figures["noted"]["test"] == pytest.approx(spec.novelty.false_alarms, abs=1e-4)
    pixels = pixels_of_the_test_part(run)
    answer = client.predict_async("starter", 1, pixels, classes=2, novelty=True).answer()
    assert answer.novelty is not None
    assert answer.novelty.shape == (len(pixels),)
    assert (answer.novelty > spec.novelty.threshold).mean() == pytest.approx(figures["noted"]["test"])
    np.testing.assert_allclose(answer.probabilities, client.predict("starter", 1, pixels, classes=2), atol=1e-5)
    noise = draw_kinds(*pixels.shape[1:3], count=5)["noise"]
    unlike = client.predict_async("starter", 1, noise, classes=2, novelty=True).answer().novelty
    assert unlike is not None
    assert unlike.min() > spec.novelty.threshold


def test_the_signature_explain_gives_the_class_activation_map_of_each_class(run: RunFolder, client: PredictClient) -> None:
    described = client.describe("starter")
    pixels = pixels_of_the_test_part(run)
    maps = client.explain("starter", described, pixels)
    assert described.spec.explain is not None
    assert maps.shape == (len(pixels), described.spec.explain.height, described.spec.explain.width, 2)
    model = keras.models.load_model(run.model_path, compile=False)
    pooled = next(layer for layer in model.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D))
    features = keras.Model(model.inputs, pooled.input).predict(pixels.astype(np.float32), verbose=0)
    raw = np.maximum(features @ model.layers[-1].get_weights()[0], 0)  # Zhou et al. 2016
    highest = raw.max(axis=(1, 2), keepdims=True)
    assert highest.max() > 0
    np.testing.assert_allclose(maps, np.divide(raw, highest, out=np.zeros_like(raw), where=highest > 0), atol=1e-3)


def test_a_version_may_go_without_the_signature_explain(run: RunFolder, tmp_path: Path) -> None:
    version = export_run(run, model="starter", root=tmp_path, novelty="none", explain=False)
    spec = ModelVersion("starter", 1, version).spec()
    assert spec is not None
    assert spec.explain is None
    assert "explain" not in (version / "README.md").read_text(encoding="utf-8")
    with running_serving(tmp_path / "starter", "starter", tmp_path / "log") as address, PredictClient(address) as client:
        described = client.describe("starter")
        with pytest.raises(ModelContractError, match="its spec has no 'explain'"):
            client.explain("starter", described, np.zeros((1, spec.input_height, spec.input_width, 3), np.uint8))


def test_the_reference_of_a_version_is_what_it_answers_to_its_test_part(run: RunFolder, client: PredictClient) -> None:
    spec = client.describe("starter").spec
    reference = spec.reference
    assert reference is not None
    assert reference.risk is not None
    assert reference.novelty is not None
    answer = client.predict_async("starter", 1, pixels_of_the_test_part(run), classes=2, novelty=True).answer()
    assert answer.novelty is not None
    risks = answer.probabilities[:, spec.malignant_indices].sum(axis=1)
    assert reference.images == len(risks)
    first = np.bincount(answer.probabilities.argmax(axis=1), minlength=2)
    np.testing.assert_allclose(first / len(risks), reference.classes, atol=1e-5)
    for bins, values in ((reference.risk, risks), (reference.novelty, answer.novelty)):
        assert len(bins.edges) > 3
        served = np.bincount(np.searchsorted(bins.edges, values, side="right"), minlength=len(bins.shares))
        # A decile of few pictures may be a picture's own value, which the server rounds otherwise: it may change its bin.
        assert np.abs(served - len(values) * np.array(bins.shares)).max() < 1.01


def test_without_its_pictures_a_run_is_exported_without_that_output_or_not_at_all(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="--novelty none"):
        export_run(run, model="starter", root=tmp_path, data=tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []
    version = export_run(run, model="starter", root=tmp_path, data=tmp_path / "nowhere", novelty="none")
    assert ModelVersion("starter", 1, version).spec().novelty is None
    assert "novelty" not in (version / "README.md").read_text(encoding="utf-8")


def test_the_service_answers_as_the_evaluation_did(run: RunFolder, client: PredictClient) -> None:
    described = client.describe("starter")
    assert described.version == 1
    assert described.spec.temperature == calibrate_run(run).temperature
    pixels = pixels_of_the_test_part(run)
    expected = apply_temperature(run.predictions("test").probabilities, described.spec.temperature)
    np.testing.assert_allclose(client.predict("starter", 1, pixels, classes=2), expected, atol=1e-5)


def test_exported_rows_are_held_against_the_evaluation(run: RunFolder, client: PredictClient, tmp_path: Path) -> None:
    ids = [sample.id for sample in run.samples("test")]
    rows = np.asarray(client.predict("starter", 1, pixels_of_the_test_part(run), classes=2), dtype=np.float64)

    def compare(kept: int) -> Served:
        lines = [f"{name},{float(row[0])!r},{float(row[1])!r}" for name, row in zip(ids, rows, strict=True)]
        (tmp_path / "results.csv").write_text("\n".join(["name,p_melanoma,p_nevus", *lines[:kept]]), encoding="utf-8")
        return compare_served(run, tmp_path / "results.csv")

    served = compare(len(ids))
    assert (served.images, served.missing, served.agrees) == (len(ids), 0, True)
    assert (compare(len(ids) - 1).missing, compare(len(ids) - 1).agrees) == (1, False)
    rows[0] += 1e-4
    assert compare(len(ids)).largest_difference == pytest.approx(1e-4, rel=0.2)
    assert not compare(len(ids)).agrees
    (tmp_path / "other.csv").write_text("name,p_cat\na,1.0\n", encoding="utf-8")
    with pytest.raises(InvalidRequestError, match="p_melanoma"):
        compare_served(run, tmp_path / "other.csv")
    with pytest.raises(InvalidRequestError, match="one JSON object a line"):
        compare_served(run, run.path / "run.json")
