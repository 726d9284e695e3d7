"""serving/config: the container's files are what TensorFlow Serving reads, and fit the model repository and the workers."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow.python.lib.io import tf_record
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from serving.embedded.batchingconfig import read_batching_file
from serving.embedded.options import parse_options
from serving.embedded.textconfig import read_text
from serving.protos import batching_pb2
from serving.protos.monitoring_pb2 import MonitoringConfig
from tests.support.servers import ROOT, STARTER
from training.warmup import BATCH_SIZES, WARM_UP_NAME
from worker.batchsize import MOST_IMAGES

CONFIG = ROOT / "serving" / "config"
MODELS = ROOT / "serving" / "models"
BATCHING = sorted(CONFIG.glob("batching*.config"))
FLAGS = sorted(CONFIG.glob("*.flags"))


def flags(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if line and not line.startswith("#")]


def test_models_config_names_versions_that_are_there() -> None:
    """Parsed with the official message."""
    config = text_format.Parse((CONFIG / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    entries = config.model_config_list.config
    assert {entry.name for entry in entries} == {folder.name for folder in MODELS.iterdir() if folder.is_dir()}
    for entry in entries:
        assert entry.base_path == f"/models/{entry.name}"
        assert entry.model_platform == "tensorflow"
        served = set(entry.model_version_policy.specific.versions)
        assert served
        assert set(entry.version_labels.values()) <= served
        assert "stable" in entry.version_labels
        for version in served:
            assert (MODELS / entry.name / str(version) / "saved_model.pb").is_file()


@pytest.mark.parametrize("path", BATCHING, ids=lambda path: path.name)
def test_batching_files_hold_together(path: Path) -> None:
    """With messages of the same names as the official ones, which tensorflow-serving-api does not contain."""
    found = read_batching_file(path)
    assert found.splitting
    assert found.max_batch_size >= MOST_IMAGES  # or a worker's batches would be refused
    assert found.max_batch_size % found.execution_limit == 0  # a full request leaves no small rest


def published_warm_ups() -> dict[str, list[int]]:
    """For each published version the images of its warm-up requests, in the official message."""
    found = {}
    for file in sorted(MODELS.glob(f"*/*/assets.extra/{WARM_UP_NAME}")):
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in tf_record.tf_record_iterator(str(file))]
        shapes = [log.predict_log.request.inputs["images"].tensor_shape for log in logs]
        found["/".join(file.parts[-4:-2])] = [shape.dim[0].size for shape in shapes]
    return found


def test_warm_up_runs_each_batch_size_that_a_gpu_pads_to() -> None:
    """A batch is padded up to the next allowed size: what no warm-up request reaches is compiled under a user's request."""
    text = (CONFIG / "batching.gpu.config").read_text()
    allowed = list(read_text(CONFIG / "batching.gpu.config", batching_pb2.BatchingParameters()).allowed_batch_sizes)
    assert allowed == sorted(allowed)
    assert allowed[-1] == read_batching_file(CONFIG / "batching.gpu.config").execution_limit
    assert text.count("allowed_batch_sizes:") == len(allowed) >= 2
    versions = published_warm_ups()
    assert versions
    for name, sizes in (versions | {"exported from now on": list(BATCH_SIZES)}).items():
        assert {next(size for size in allowed if size >= images) for images in sizes} == set(allowed), name


def test_the_prometheus_page_is_where_it_is_scraped() -> None:
    found = read_text(CONFIG / "monitoring.config", MonitoringConfig())
    assert found.prometheus_config.enable
    assert found.prometheus_config.path == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize("path", FLAGS, ids=lambda path: path.name)
def test_flags_are_known_and_name_files_that_are_there(path: Path) -> None:
    options, ignored = parse_options(flags(path))
    assert set(ignored) == {f"xla_{path.stem}_compilation_enabled"}  # what the embedded server does without being told
    named = [options.model_config_file, options.monitoring_config_file, options.batching_parameters_file]
    assert all((CONFIG / Path(each).name).is_file() for each in named if each)
    assert options.rest_api_port  # the Prometheus page is on it
    assert options.allow_version_labels_for_unavailable_models
    assert options.model_config_file_poll_wait_seconds == 0


def test_the_embedded_server_runs_with_the_containers_files(embedded: object, tmp_path: Path) -> None:
    """Swapping the container for the embedded server takes an address and paths."""
    local = (CONFIG / "models.config").read_text().replace('"/models/', f'"{MODELS}/')
    (tmp_path / "models.config").write_text(local)
    options, _ = parse_options(flags(CONFIG / "cpu.flags"))
    from serving.client import PredictClient

    server, _ = embedded(  # type: ignore[operator]
        model_config_file=str(tmp_path / "models.config"),
        allow_version_labels_for_unavailable_models=options.allow_version_labels_for_unavailable_models,
        enable_batching=True,
        batching_parameters_file=str(BATCHING[0]),
    )
    with PredictClient(server.address) as client:
        assert client.describe("starter", label="stable").version == int(STARTER.name)
