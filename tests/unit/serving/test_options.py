"""TensorFlow Serving's flags, written as TensorFlow Serving allows them."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from serving.embedded.flags import OFFICIAL, OWN, Fate, Flag
from serving.embedded.options import Options, parse_options
from serving.embedded.status import StatusError, invalid_argument


def test_flags_keep_their_names_and_defaults() -> None:
    options, ignored = parse_options(["--model_base_path=/m"])
    assert options == Options(model_base_path="/m")
    assert (options.port, options.model_name, options.file_system_poll_wait_seconds) == (8500, "default", 1)
    assert ignored == {}


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--allow_version_labels_for_unavailable_models", True),
        ("--allow_version_labels_for_unavailable_models=true", True),
        ("--allow_version_labels_for_unavailable_models=false", False),
        ("--allow_version_labels_for_unavailable_models=1", True),
    ],
)
def test_booleans_take_a_value_or_none(flag: str, value: bool) -> None:
    options, _ = parse_options(["--model_base_path=/m", flag])
    assert options.allow_version_labels_for_unavailable_models is value


# tensorflow_serving/model_servers/main.cc of 2.20, in its order.
OFFICIAL_TEXT = """
port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms rest_api_enable_cors_support enable_batching
allow_version_labels_for_unavailable_models batching_parameters_file enable_per_model_batching_parameters model_config_file
model_config_file_poll_wait_seconds model_name model_base_path num_load_threads num_unload_threads max_num_load_retries
load_retry_interval_micros file_system_poll_wait_seconds flush_filesystem_caches tensorflow_session_parallelism
tensorflow_session_config_file tensorflow_intra_op_parallelism tensorflow_inter_op_parallelism use_alts_credentials
ssl_config_file platform_config_file per_process_gpu_memory_fraction saved_model_tags grpc_channel_arguments grpc_max_threads
enable_model_warmup num_request_iterations_for_warmup version monitoring_config_file
remove_unused_fields_from_bundle_metagraph prefer_tflite_model num_tflite_pools num_tflite_interpreters_per_pool
enable_signature_method_name_check xla_cpu_compilation_enabled xla_gpu_compilation_enabled enable_profiler
thread_pool_factory_config_file mixed_precision skip_initialize_tpu enable_grpc_healthcheck_service
enable_serialization_as_tensor_content
"""
OFFICIAL_NAMES = OFFICIAL_TEXT.split()
SAMPLES = {bool: "true", int: "1", float: "0.5", str: "x"}


def test_every_flag_of_tensorflow_serving_has_a_fate() -> None:
    assert [flag.name for flag in OFFICIAL] == OFFICIAL_NAMES
    assert len(OFFICIAL_NAMES) == 48
    effective = {flag.name for flag in (*OFFICIAL, *OWN) if flag.fate is Fate.EFFECTIVE} - {"version"}
    assert effective == {each.name for each in fields(Options)}


@pytest.mark.parametrize("flag", [flag for flag in OFFICIAL if flag.fate is Fate.IGNORED], ids=lambda flag: flag.name)
def test_ignored_flags_come_back_with_the_reason(flag: Flag) -> None:
    options, ignored = parse_options(["--model_base_path=/m", f"--{flag.name}={SAMPLES[flag.kind]}"])
    assert (options, ignored) == (Options(model_base_path="/m"), {flag.name: flag.text})


@pytest.mark.parametrize("flag", [flag for flag in OFFICIAL if flag.fate is Fate.REFUSED], ids=lambda flag: flag.name)
def test_refused_flags_end_the_start(flag: Flag, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(["--model_base_path=/m", f"--{flag.name}={SAMPLES[flag.kind]}"])
    assert caught.value.code == 2
    assert f"--{flag.name} is refused: {flag.text}" in capsys.readouterr().err
    if flag.kind is bool:
        assert parse_options(["--model_base_path=/m", f"--{flag.name}=false"]) == (Options(model_base_path="/m"), {})


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(["--version"])
    assert caught.value.code == 0
    assert re.fullmatch(
        r"TensorFlow ModelServer: DermQ's embedded server \S+\nTensorFlow Library: \S+\n", capsys.readouterr().out
    )


def test_channel_arguments_are_pairs() -> None:
    options, _ = parse_options(["--model_base_path=/m", "--grpc_channel_arguments=grpc.max_connection_age_ms=5000,grpc.x=y"])
    assert options.channel_arguments == [("grpc.max_connection_age_ms", 5000), ("grpc.x", "y")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either --model_config_file or --model_base_path"),
        (["--model_base_path=/m", "--model_config_file=/c"], "either --model_config_file or --model_base_path"),
        (["--model_base_path=/m", "--batching_parameters_file=/b"], "without setting --enable_batching to true"),
        (["--model_base_path=/m", "--ssl_config_fle=/f"], "unrecognized arguments: --ssl_config_fle=/f"),
        (
            [
                "--model_base_path=/m",
                *(f"--tensorflow_{each}_parallelism=2" for each in ("session", "intra_op", "inter_op")),
            ],
            "got all three",
        ),
        (["--model_base_path=relative"], "absolute path, got relative"),
        (["--model_base_path=/m", "--enable_serialization_as_tensor_content=perhaps"], "expected true or false, got 'perhaps'"),
    ],
)
def test_mistakes_are_named(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_options(arguments)
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


def test_messages_are_cut_like_tensorflow_servings() -> None:
    assert invalid_argument("x" * 1024).details == "x" * 1024
    error: StatusError = invalid_argument("x" * 1025)
    assert error.details == "x" * 1024 + "...TRUNCATED"
