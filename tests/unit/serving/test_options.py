"""TensorFlow Serving's flags, written as TensorFlow Serving allows them."""

from __future__ import annotations

import pytest

from serving.embedded.options import Options, parse_options
from serving.embedded.status import StatusError, invalid_argument


def test_flags_keep_their_names_and_defaults() -> None:
    options, unknown = parse_options(["--model_base_path=/m"])
    assert options == Options(model_base_path="/m")
    assert (options.port, options.model_name, options.file_system_poll_wait_seconds) == (8500, "default", 1)
    assert unknown == []


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


def test_unknown_flags_are_handed_back() -> None:
    _, unknown = parse_options(["--model_base_path=/m", "--num_tflite_pools=8", "--xla_gpu_compilation_enabled"])
    assert unknown == ["--num_tflite_pools=8", "--xla_gpu_compilation_enabled"]


def test_channel_arguments_are_pairs() -> None:
    options, _ = parse_options(["--model_base_path=/m", "--grpc_channel_arguments=grpc.max_connection_age_ms=5000,grpc.x=y"])
    assert options.channel_arguments == [("grpc.max_connection_age_ms", 5000), ("grpc.x", "y")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "either --model_config_file or --model_base_path"),
        (["--model_base_path=/m", "--model_config_file=/c"], "either --model_config_file or --model_base_path"),
        (["--model_base_path=/m", "--batching_parameters_file=/b"], "without setting --enable_batching to true"),
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
