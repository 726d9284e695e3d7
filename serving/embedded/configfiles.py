"""The files that flags name, read before TensorFlow is imported: a mistake in one is answered in a fraction of a second."""

from __future__ import annotations

from pathlib import Path

from serving.embedded.batchingconfig import BatchingParameters, read_batching_file
from serving.embedded.credentials import read_credentials
from serving.embedded.metrics import DEFAULT_PATH
from serving.embedded.modelconfig import ModelEntry, read_config_file
from serving.embedded.options import Options
from serving.embedded.textconfig import read_text
from serving.protos.monitoring_pb2 import MonitoringConfig


def read_entries(options: Options) -> tuple[ModelEntry, ...]:
    """The models to serve.

    Raises:
        StatusError: INVALID_ARGUMENT, `--model_config_file` is no text-format ModelServerConfig, or contradicts itself.
        OSError: it cannot be read.
    """
    if options.model_config_file:
        return read_config_file(Path(options.model_config_file))
    return (ModelEntry(options.model_name, Path(options.model_base_path)),)


def read_batching(options: Options) -> BatchingParameters:
    """The batching parameters; errors as `read_batching_file`."""
    if not options.batching_parameters_file:
        return BatchingParameters()
    return read_batching_file(Path(options.batching_parameters_file))


def read_metrics_path(options: Options) -> str:
    """The path of the Prometheus page on the REST port; empty where there is none.

    Raises:
        StatusError: INVALID_ARGUMENT, `--monitoring_config_file` is no text-format MonitoringConfig.
        OSError: it cannot be read.
    """
    if not options.monitoring_config_file:
        return ""
    prometheus = read_text(Path(options.monitoring_config_file), MonitoringConfig()).prometheus_config
    return (prometheus.path or DEFAULT_PATH) if prometheus.enable else ""


def check_files(options: Options) -> None:
    """Read them all; raises what reading one raises."""
    read_entries(options)
    read_batching(options)
    read_metrics_path(options)
    read_credentials(options)
