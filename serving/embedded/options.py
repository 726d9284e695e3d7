"""TensorFlow Serving's flags, as far as they mean something here; the others are accepted and named in a warning."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TRUE, _FALSE = frozenset({"true", "1", "t", "yes", "y"}), frozenset({"false", "0", "f", "no", "n"})


@dataclass(frozen=True)
class Options:
    """The server's options. Names are TensorFlow Serving's, except bind_address."""

    port: int = 8500
    rest_api_port: int = 0
    rest_api_num_threads: int = field(default_factory=lambda: 4 * (os.cpu_count() or 1))
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    monitoring_config_file: str = ""
    bind_address: str = "127.0.0.1"
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: float = 0
    file_system_poll_wait_seconds: float = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    allow_version_labels_for_unavailable_models: bool = False
    enable_serialization_as_tensor_content: bool = False
    enable_signature_method_name_check: bool = False
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    enable_grpc_healthcheck_service: bool = False
    enable_batching: bool = False
    batching_parameters_file: str = ""
    grpc_max_threads: int = 64
    max_queued_requests: int = 48
    grpc_channel_arguments: str = ""
    log_level: str = "INFO"

    @property
    def channel_arguments(self) -> list[tuple[str, int | str]]:
        """`name=value,name=value`, integers where they look like it."""
        pairs = (pair.split("=", 1) for pair in self.grpc_channel_arguments.split(",") if "=" in pair)
        return [(name.strip(), int(value) if value.lstrip("-").isdigit() else value) for name, value in pairs]


def parse_options(arguments: Sequence[str]) -> tuple[Options, list[str]]:
    """Parse a command line.

    Args:
        arguments: without the program's name.

    Returns:
        The options, and the arguments that mean nothing here.
    """
    parser = _parser()
    known, unknown = parser.parse_known_args(arguments)
    options = Options(**vars(known))
    if bool(options.model_config_file) == bool(options.model_base_path):
        parser.error("expected either --model_config_file or --model_base_path (with --model_name)")
    if options.model_base_path and not Path(options.model_base_path).is_absolute():
        parser.error(f"expected --model_base_path to be an absolute path, got {options.model_base_path}")
    if options.batching_parameters_file and not options.enable_batching:
        parser.error("--batching_parameters_file is set without setting --enable_batching to true")
    return options, unknown


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.embedded",
        description="TensorFlow Serving's gRPC API for one machine and for tests. Production is its own container.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    standard = Options()
    for flag, kind, text in _FLAGS:
        default = getattr(standard, flag)
        if kind is bool:
            parser.add_argument(f"--{flag}", type=_boolean, nargs="?", const=True, default=default, help=text)
        else:
            parser.add_argument(f"--{flag}", type=kind, default=default, help=text)
    return parser


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text.lower() in _TRUE


_FLAGS: tuple[tuple[str, type, str], ...] = (
    ("port", int, "TCP port of the gRPC API; 0 takes a free one"),
    ("rest_api_port", int, "TCP port of the REST API; 0: none"),
    ("rest_api_num_threads", int, "REST requests that are answered at once"),
    ("rest_api_timeout_in_ms", int, "milliseconds that a REST request may wait to be run"),
    ("rest_api_enable_cors_support", bool, "let web pages of any origin call the REST API"),
    ("monitoring_config_file", str, "text-format MonitoringConfig: the Prometheus page on the REST port"),
    ("bind_address", str, "address to listen on (this server's own flag: TensorFlow Serving listens on 0.0.0.0)"),
    ("model_name", str, "name of the model under --model_base_path"),
    ("model_base_path", str, "folder of the versions of one model"),
    ("model_config_file", str, "text-format ModelServerConfig, for several models, version policies and labels"),
    ("model_config_file_poll_wait_seconds", float, "seconds between looks at --model_config_file; 0: never again"),
    ("file_system_poll_wait_seconds", float, "seconds between looks for new versions; 0: only at the start"),
    ("max_num_load_retries", int, "how often a failed load is tried again"),
    ("load_retry_interval_micros", int, "microseconds between those attempts"),
    ("allow_version_labels_for_unavailable_models", bool, "let a new label name a version that is not loaded yet"),
    ("enable_serialization_as_tensor_content", bool, "answer in tensor_content instead of the *_val fields"),
    ("enable_signature_method_name_check", bool, "refuse a call whose kind is not the method_name of its signature"),
    ("tensorflow_session_parallelism", int, "threads inside and across operators; 0: as the two flags below"),
    (
        "tensorflow_intra_op_parallelism",
        int,
        "threads inside one operator; 0: 1 on CPU, since one request per core beats all cores per request",
    ),
    ("tensorflow_inter_op_parallelism", int, "requests that run at once; 0: one per core"),
    ("enable_grpc_healthcheck_service", bool, "offer grpc.health.v1.Health"),
    ("enable_batching", bool, "put requests of several clients together in one run"),
    ("batching_parameters_file", str, "text-format BatchingParameters; needs --enable_batching"),
    ("grpc_max_threads", int, "requests that are read and held at once"),
    ("max_queued_requests", int, "requests that may wait to be run; more are UNAVAILABLE (this server's own flag)"),
    ("grpc_channel_arguments", str, "name=value,… for the gRPC server"),
    ("log_level", str, "lowest level written to stderr (this server's own flag)"),
)
