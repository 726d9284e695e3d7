"""PredictClient against the embedded server, each in its own process: what goes over the wire, and what each fault becomes."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from core.errors import (
    BatchRejectedError,
    JobError,
    ModelContractError,
    ModelNotFoundError,
    ServingOverloadedError,
    ServingUnavailableError,
)
from serving.client import PredictClient, VersionStatus
from serving.protos import predict_pb2
from tests.support.scripted_serving import Scripted, answer_of, scripted_servers
from tests.support.servers import ROOT, free_port, running
from tests.support.tiny_model import HAM_CLASSES, export_tiny_model, tiny_probabilities, tiny_spec

RANDOM = np.random.default_rng(7)


@pytest.fixture
def client(serving_address: str) -> Iterator[PredictClient]:
    with PredictClient(serving_address) as client:
        yield client


def random_images(count: int, *, side: int = 28) -> Any:
    return RANDOM.integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_describe_gives_spec_and_version(client: PredictClient) -> None:
    described = client.describe("tiny")
    assert described.version == 2
    assert described.spec == tiny_spec()
    assert client.describe("tiny", version=2) == described


def test_serving_is_reached_without_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch, serving_address: str) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    with PredictClient(serving_address) as client:
        assert client.describe("tiny").version == 2


def test_probabilities_are_those_of_the_model(client: PredictClient) -> None:
    images = random_images(5)
    found = client.predict("tiny", 2, images, classes=7)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tiny_probabilities(images, bias=0.5), atol=1e-5)


def test_a_message_over_four_megabytes_goes_through(client: PredictClient) -> None:
    images = np.resize(random_images(64), (2500, 28, 28, 3))  # 5.9 MB
    assert client.predict("tiny", 2, images).shape == (2500, 7)


def test_two_batches_in_flight_come_back_in_any_order(client: PredictClient) -> None:
    batches = [random_images(count) for count in (3, 4)]
    pending = [client.predict_async("tiny", 2, images) for images in batches]
    for images, each in reversed(list(zip(batches, pending, strict=True))):
        np.testing.assert_allclose(each.result(), tiny_probabilities(images, bias=0.5), atol=1e-5)


def test_one_client_serves_many_threads(client: PredictClient) -> None:
    batches = [random_images(2) for _ in range(32)]
    with futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda images: client.predict("tiny", 2, images), batches))
    for images, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer, tiny_probabilities(images, bias=0.5), atol=1e-5)


def test_a_refused_image_rejects_the_batch_and_only_it(client: PredictClient) -> None:
    images = random_images(3)
    images[1] = 77
    with pytest.raises(BatchRejectedError, match="an image is refused"):
        client.predict("tiny", 2, images)
    assert len(client.predict("tiny", 2, images[:1])) == 1


def test_unknown_models_versions_and_labels_are_not_found(client: PredictClient) -> None:
    for call in (
        lambda: client.describe("nope"),
        lambda: client.describe("tiny", version=9),
        lambda: client.describe("tiny", label="stable"),
        lambda: client.predict("tiny", 1, random_images(1)),
        lambda: client.model_status("nope"),
        lambda: client.metadata("nope"),
    ):
        with pytest.raises(ModelNotFoundError):
            call()


def test_a_batch_of_the_wrong_kind_breaks_the_contract(client: PredictClient) -> None:
    floats: Any = random_images(1).astype(np.float32)
    with pytest.raises(ModelContractError, match="to be uint8 but float is provided"):
        client.predict("tiny", 2, floats)


def test_another_number_of_classes_breaks_the_contract(client: PredictClient) -> None:
    with pytest.raises(ModelContractError, match=r"float32 \[1, 8\], got float32 \[1, 7\]"):
        client.predict("tiny", 2, random_images(1), classes=8)


def test_status_and_readiness(client: PredictClient) -> None:
    assert client.model_status("tiny") == [VersionStatus(2, "AVAILABLE", "OK", "")]
    assert client.ready()
    assert client.ready("tiny")
    assert not client.ready("nope")
    client.wait_ready(5, "tiny")
    with pytest.raises(ServingUnavailableError, match="model nope with an AVAILABLE version"):
        client.wait_ready(0.3, "nope")


def test_a_client_can_be_used_again_after_close(client: PredictClient) -> None:
    client.predict("tiny", 2, random_images(1))
    client.close()
    assert len(client.predict("tiny", 2, random_images(1))) == 1


def test_nobody_listening_is_transient_and_answered_at_once() -> None:
    """A call that waited for its deadline would be DEADLINE_EXCEEDED, and would outlast this test."""
    with PredictClient(f"127.0.0.1:{free_port()}", timeout_s=3600) as client:
        with pytest.raises(ServingUnavailableError, match=r"\bUNAVAILABLE"):
            client.describe("tiny")
        assert not client.ready()


def test_a_server_that_never_answers_costs_the_deadline_and_no_more() -> None:
    import socket

    again: list[int] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        PredictClient(f"127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.5, on_retry=lambda: again.append(1)) as client,
        pytest.raises(ServingUnavailableError, match="DEADLINE_EXCEEDED"),
    ):
        client.predict("tiny", 1, random_images(1))
    assert not again


def test_the_server_is_told_the_deadline_and_a_late_answer_is_not_asked_for_again() -> None:
    release, left = threading.Event(), []

    class Hanging(Scripted):
        def _answer(self, _request: Any, context: grpc.ServicerContext) -> Any:
            left.append(context.time_remaining())
            release.wait(60)
            return answer_of([[1.0]])

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[Hanging()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with (
            PredictClient(f"127.0.0.1:{port}", timeout_s=2) as client,
            pytest.raises(ServingUnavailableError, match="DEADLINE_EXCEEDED"),
        ):
            client.predict("m", 1, random_images(1))
    finally:
        release.set()
        server.stop(None).wait()
    assert len(left) == 1
    assert left[0] <= 2


@pytest.fixture
def scripted() -> Iterator[Any]:
    with scripted_servers() as serve:
        yield serve


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "INTERNAL", "UNIMPLEMENTED"])
def test_what_may_pass_is_tried_again_and_then_transient(scripted: Any, code: str) -> None:
    refusal = (grpc.StatusCode[code], "busy")
    handler, client = scripted(refusal, refusal, answer_of([[1.0]]))
    assert client.predict("m", 1, random_images(1)).tolist() == [[1.0]]
    assert handler.calls == 3
    handler, client = scripted(refusal)
    with pytest.raises(ServingUnavailableError, match=f"{code}: busy"):
        client.predict("m", 1, random_images(1))
    assert handler.calls == 3


@pytest.mark.parametrize(
    ("code", "details", "error"),
    [
        ("INVALID_ARGUMENT", "Task size 9 is larger than maximum input batch size 8", BatchRejectedError),
        ("RESOURCE_EXHAUSTED", "CLIENT: Received message larger than max (9 vs. 8)", BatchRejectedError),
        ("INVALID_ARGUMENT", "output tensor alias not found in signature: probabilities", ModelContractError),
        ("FAILED_PRECONDITION", 'Serving signature key "serving_default" not found.', ModelContractError),
        ("NOT_FOUND", "Servable not found for request: Specific(m, 1)", ModelNotFoundError),
        ("RESOURCE_EXHAUSTED", "OOM when allocating tensor", ServingOverloadedError),
        ("ALREADY_EXISTS", "nobody says so", JobError),
    ],
)
def test_what_will_not_pass_is_said_once(scripted: Any, code: str, details: str, error: type[Exception]) -> None:
    handler, client = scripted((grpc.StatusCode[code], details))
    with pytest.raises(error) as caught:
        client.predict("m", 1, random_images(1))
    assert details in str(caught.value)
    assert code in str(caught.value)
    assert handler.calls == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (answer_of([[1.0]], version=2), "version 2 answered instead"),
        (answer_of([[1.0], [1.0]]), r"float32 \[1, classes\], got float32 \[2, 1\]"),
        (answer_of([[float("nan")]]), "values from nan"),
        (answer_of([[1.5]]), "values from 1.5 to 1.5"),
        (predict_pb2.PredictResponse(model_spec={"version": {"value": 1}}), "expected an output 'probabilities'"),
    ],
    ids=["version", "shape", "nan", "range", "missing"],
)
def test_an_answer_that_breaks_the_contract_is_refused(scripted: Any, answer: Any, words: str) -> None:
    _, client = scripted(answer)
    with pytest.raises(ModelContractError, match=words):
        client.predict("m", 1, random_images(1))


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -0.5, 1.5])
def test_values_that_are_no_probabilities_spoil_their_own_row_only(scripted: Any, odd: float) -> None:
    _, client = scripted(answer_of([[0.25, 0.75], [odd, 0.5], [0.5, 0.5]]))
    found = client.predict_async("m", 1, random_images(3), classes=2, row_by_row=True).result()
    assert found[[0, 2]].tolist() == [[0.25, 0.75], [0.5, 0.5]]
    assert np.isnan(found[1]).all()


def test_a_cancelled_prediction_is_not_sent_again(scripted: Any) -> None:
    release = threading.Event()

    class Slow(Scripted):
        def _answer(self, _request: Any, _context: grpc.ServicerContext) -> Any:
            self.calls += 1
            release.wait(5)
            return self.answers[0]

    handler = Slow(answer_of([[1.0]]))
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with PredictClient(f"127.0.0.1:{port}", timeout_s=5) as client:
        pending = client.predict_async("m", 1, random_images(1))
        pending.cancel()
        with pytest.raises(ServingUnavailableError, match="cancelled on this side"):
            pending.result()
    release.set()
    server.stop(1).wait()
    assert handler.calls <= 1


@pytest.mark.parametrize(
    ("export", "words"),
    [
        ({"describing": False}, "'describe' (its ModelSpec): wrap a model of another team (`dermq models wrap"),
        ({"spec_json": "{}"}, "the JSON is no ModelSpec"),
        (
            {"spec_json": tiny_spec(height=32, width=32).model_dump_json()},
            "'images' to be uint8 [-1, 32, 32, 3], got uint8 [-1, 28, 28, 3]",
        ),
        (
            {"spec_json": tiny_spec(classes=HAM_CLASSES[:3]).model_dump_json()},
            "'probabilities' to be float [-1, 3], got float [-1, 7]",
        ),
    ],
    ids=["no describe", "no spec", "other size", "other classes"],
)
def test_a_model_that_does_not_describe_itself_rightly_is_refused(
    tmp_path: Path, in_process: Any, export: dict[str, Any], words: str
) -> None:
    export_tiny_model(tmp_path / "odd", 1, **export)
    with PredictClient(in_process(tmp_path / "odd")) as client, pytest.raises(ModelContractError) as caught:
        client.describe("odd")
    assert words in str(caught.value)


@pytest.fixture
def in_process() -> Iterator[Any]:
    """Serve a folder from this process, under its own name."""
    from serving.embedded.options import Options
    from serving.embedded.server import EmbeddedServer

    servers = []

    def serve(base: Path, port: int = 0) -> str:
        server = EmbeddedServer(Options(port=port, model_name=base.name, model_base_path=str(base)))
        server.start()
        servers.append(server)
        return f"127.0.0.1:{server.port}"

    yield serve
    for server in servers:
        server.stop()


def test_a_server_killed_and_started_again_is_found_again(tiny_models: Path, tmp_path: Path, in_process: Any) -> None:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "serving.embedded",
        f"--port={port}",
        "--model_name=tiny",
        f"--model_base_path={tiny_models}",
    ]
    with PredictClient(f"127.0.0.1:{port}", timeout_s=5) as client:
        with running(command, log=tmp_path / "serving.log") as process:
            client.wait_ready(60, "tiny")
            process.kill()
            process.wait(10)
        with pytest.raises(ServingUnavailableError):
            client.predict("tiny", 2, random_images(1))
        in_process(tiny_models, port)
        client.wait_ready(10, "tiny")
        assert len(client.predict("tiny", 2, random_images(1))) == 1


FORKING = """
    import os, sys
    import numpy as np
    from serving.client import PredictClient

    images = np.zeros((2, 28, 28, 3), np.uint8)
    client = PredictClient(sys.argv[1], timeout_s=10)
    client.predict("tiny", 2, images)
    pending = client.predict_async("tiny", 2, images)
    child = os.fork()
    if child == 0:
        same = client.predict("tiny", 2, images).shape == (2, 7)
        client.close()
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert pending.result().shape == client.predict("tiny", 2, images).shape == (2, 7)
    sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_uses_a_channel_of_its_own(serving_address: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(FORKING), serving_address]
    done = subprocess.run(command, cwd=ROOT, timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
