"""The command line → Options: TensorFlow Serving's flags (serving.embedded.flags says what becomes of each) and three more."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.processors import usable_processors
from serving.embedded.flags import OFFICIAL, OWN, Fate, Flag

_TRUE, _FALSE = frozenset({"true", "1", "t", "yes", "y"}), frozenset({"false", "0", "f", "no", "n"})


@dataclass(frozen=True)
class Options:
    """The server's options. Names are TensorFlow Serving's, except those of `flags.OWN`."""

    port: int = 8500
    grpc_socket_path: str = ""
    rest_api_port: int = 0
    rest_api_num_threads: int = field(default_factory=lambda: 4 * usable_processors())
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    monitoring_config_file: str = ""
    ssl_config_file: str = ""
    bind_address: str = "127.0.0.1"
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: str = ""
    model_config_file_poll_wait_seconds: float = 0
    file_system_poll_wait_seconds: float = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    saved_model_tags: str = "serve"
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
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


def parse_options(arguments: Sequence[str]) -> tuple[Options, dict[str, str]]:
    """Parse a command line. Ends the process with 2 after a mistake, a flag that is refused, or one that there is not.

    Args:
        arguments: without the program's name.

    Returns:
        The options, and the flags given that are ignored here, each with the reason.
    """
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    if given.pop("version", False):
        sys.stdout.write(f"TensorFlow ModelServer: DermQ's embedded server {_version('dermq')}\n")
        sys.stdout.write(f"TensorFlow Library: {_version('tensorflow')}\n")
        parser.exit()
    passive = {flag.name: flag for flag in OFFICIAL if flag.fate is not Fate.EFFECTIVE and given.get(flag.name)}
    for flag in passive.values():
        if flag.fate is Fate.REFUSED:
            parser.error(f"--{flag.name} is refused: {flag.text}")
    options = Options(**{each.name: given[each.name] for each in fields(Options)})
    mistake = _mistake(options)
    if mistake:
        parser.error(mistake)
    return options, {name: flag.text for name, flag in passive.items()}


def _mistake(options: Options) -> str | None:
    if bool(options.model_config_file) == bool(options.model_base_path):
        return "expected either --model_config_file or --model_base_path (with --model_name)"
    if options.model_base_path and not Path(options.model_base_path).is_absolute():
        return f"expected --model_base_path to be an absolute path, got {options.model_base_path}"
    if options.batching_parameters_file and not options.enable_batching:
        return "--batching_parameters_file is set without setting --enable_batching to true"
    separate = options.tensorflow_intra_op_parallelism > 0 and options.tensorflow_inter_op_parallelism > 0
    if separate and options.tensorflow_session_parallelism > 0:
        return "expected --tensorflow_session_parallelism or (intra_op, inter_op) separately, got all three"
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving.embedded",
        description="TensorFlow Serving's gRPC API for one machine and for tests. Production is its own container.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    standard = vars(Options())
    for flag in (*OFFICIAL, *OWN):
        _add(parser, flag, standard)
    return parser


def _add(parser: argparse.ArgumentParser, flag: Flag, standard: Mapping[str, object]) -> None:
    shown = flag.text.replace("%", "%%") if flag.fate is Fate.EFFECTIVE else argparse.SUPPRESS
    default = standard.get(flag.name)
    if flag.kind is bool:
        parser.add_argument(f"--{flag.name}", type=_boolean, nargs="?", const=True, default=default, help=shown)
    else:
        parser.add_argument(f"--{flag.name}", type=flag.kind, default=default, help=shown)


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE | _FALSE:
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text.lower() in _TRUE


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
