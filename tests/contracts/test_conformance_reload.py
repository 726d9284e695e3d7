"""SERVING.md, "HandleReloadConfigRequest" and "Versions": one test per line. Official stubs; codes and messages compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, predict_pb2

from serving.embedded.tensorflow_runtime import tf
from tests.support.servers import wait_until

TWO = "half_plus_two_2_versions"


@pytest.fixture(autouse=True)
def _as_before(server: Any) -> Iterator[None]:
    yield
    server.reset()


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code().name, caught.value.details()


def answer(server: Any, name: str, **spec: Any) -> Any:
    request = predict_pb2.PredictRequest(model_spec={"name": name, **spec})
    request.inputs["x"].CopyFrom(tf.make_tensor_proto([2.0]))
    return server.prediction.Predict(request, timeout=20)


def states(server: Any, name: str) -> dict[int, int]:
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name})
    return {each.version: each.state for each in server.management.GetModelStatus(request, timeout=20).model_version_status}


def test_blocks_until_new_models_are_available(server: Any) -> None:
    response = server.reload(server.entry("new", "saved_model_half_plus_three"))
    assert (response.status.error_code, response.status.error_message) == (0, "")
    assert tf.make_ndarray(answer(server, "new").outputs["y"]).tolist() == [4.0]  # at once


def test_the_new_config_replaces_the_old_one_whole(server: Any) -> None:
    server.reload(server.entry("half_plus_three"))
    answer(server, "half_plus_three")
    wait_until(lambda: states(server, "counter") == {123: 50}, timeout_s=20, what="counter unloaded, and listed as END")
    assert refusal(lambda: answer(server, "half_plus_two")) == (
        "NOT_FOUND",
        "Servable not found for request: Latest(half_plus_two)",
    )


def test_only_a_model_config_list(server: Any) -> None:
    request = model_management_pb2.ReloadConfigRequest()
    request.config.custom_model_config.SetInParent()
    code, _ = refusal(lambda: server.management.HandleReloadConfigRequest(request, timeout=20))
    assert code == "INVALID_ARGUMENT"
    code, _ = refusal(
        lambda: server.management.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=20)
    )
    assert code == "INVALID_ARGUMENT"


def test_a_model_may_be_listed_once(server: Any) -> None:
    twice = [server.entry("half_plus_two"), server.entry("half_plus_two", "saved_model_half_plus_three")]
    assert refusal(lambda: server.reload(*twice)) == (
        "INVALID_ARGUMENT",
        "Illegal to list model half_plus_two multiple times in config list",
    )
    answer(server, "half_plus_three")  # nothing has changed


def test_paths_are_absolute(server: Any) -> None:
    assert refusal(lambda: server.reload(server.entry("m", base_path="some/where"))) == (
        "INVALID_ARGUMENT",
        "Expected model m to have an absolute path or URI; got base_path()=some/where",
    )
    answer(server, "half_plus_three")


@pytest.mark.parametrize(
    ("name", "platform", "words"),
    [
        (
            "half_plus_two",
            "other",
            "Illegal to change a model's platform. For model half_plus_two platform was tensorflow "
            "and new platform requested is other",
        ),
        ("m", "other", "Model m requests unsupported platform other"),
        (
            "m",
            "",
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            "model name is m",
        ),
    ],
    ids=["changed", "unknown", "missing"],
)
def test_platforms(server: Any, name: str, platform: str, words: str) -> None:
    asked = server.entry(name, "saved_model_half_plus_two_cpu", model_platform=platform)
    assert refusal(lambda: server.reload(asked)) == ("INVALID_ARGUMENT", words)


def test_a_model_that_cannot_be_loaded(server: Any) -> None:
    kept = [server.entry("half_plus_two"), server.entry("half_plus_three")]
    code, said = refusal(lambda: server.reload(*kept, server.entry("bad_half_plus_two", "bad_half_plus_two")))
    assert code == "UNKNOWN"
    assert said.startswith("1 model(s) did not become available: {{{name: bad_half_plus_two version: 123} due to error: ")
    assert said.endswith("}, }")
    assert "Could not find SavedModel .pb or .pbtxt at supplied export directory path: " in said
    assert states(server, "bad_half_plus_two") == {123: 50}
    answer(server, "half_plus_two")


def test_labels_are_checked_before_models_load(server: Any) -> None:
    def refused(name: str, version: int) -> str:
        return f"Request to assign label to version {version} of model {name}, which is not currently available for inference"

    fresh = server.entry("fresh", "saved_model_half_plus_three", version_labels={"stable": 123})
    assert refusal(lambda: server.reload(fresh)) == ("FAILED_PRECONDITION", refused("fresh", 123))
    server.reload(server.entry(TWO, version_labels={"stable": 123}))
    wrong = server.entry(TWO, version_labels={"stable": 999})
    assert refusal(lambda: server.reload(wrong)) == ("FAILED_PRECONDITION", refused(TWO, 999))
    assert answer(server, TWO, version_label="stable").model_spec.version.value == 123  # the old labels stay


def test_promote_is_load_then_wait_then_label(server: Any) -> None:
    only = {"specific": {"versions": [123]}}
    server.reload(server.entry(TWO, model_version_policy=only))
    wait_until(lambda: states(server, TWO) == {124: 50, 123: 30}, timeout_s=20, what="version 124 unloaded")
    server.reload(server.entry(TWO, model_version_policy=only, version_labels={"stable": 123}))
    server.reload(server.entry(TWO, version_labels={"stable": 123}))
    wait_until(lambda: states(server, TWO) == {124: 30, 123: 30}, timeout_s=20, what="version 124 loaded")
    server.reload(server.entry(TWO, version_labels={"stable": 124, "previous": 123}))
    found = [answer(server, TWO, version_label=label).model_spec.version.value for label in ("stable", "previous")]
    assert found == [124, 123]


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        (None, {124}),
        ({"latest": {}}, {124}),
        ({"latest": {"num_versions": 2}}, {123, 124}),
        ({"all": {}}, {123, 124}),
        ({"specific": {"versions": [123]}}, {123}),
    ],
    ids=["default", "latest", "latest 2", "all", "specific"],
)
def test_policies(server: Any, policy: dict[str, Any] | None, served: set[int]) -> None:
    server.reload(server.entry(TWO, model_version_policy=policy))
    wait_until(
        lambda: {version for version, state in states(server, TWO).items() if state == 30} == served,
        timeout_s=20,
        what=f"versions {served}",
    )
