"""The embedded server's life: start order, versions that come, go and fail, configuration reloaded, signals."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import ModelNotFoundError
from serving.client import PredictClient
from serving.embedded.options import Options
from serving.embedded.server import EmbeddedServer
from tests.support.servers import ROOT, accepts, free_port, running, wait_until
from tests.support.tiny_model import export_tiny_model, tiny_probabilities

IMAGES = np.full((1, 28, 28, 3), 50, np.uint8)


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[EmbeddedServer, PredictClient]]]:
    """Start a server in this process, with a client."""
    running_servers: list[tuple[EmbeddedServer, PredictClient]] = []

    def start(**options: Any) -> tuple[EmbeddedServer, PredictClient]:
        server = EmbeddedServer(Options(port=0, **{"file_system_poll_wait_seconds": 0.05, **options}))
        server.start()
        pair = server, PredictClient(f"127.0.0.1:{server.port}", timeout_s=20)
        running_servers.append(pair)
        return pair

    yield start
    for server, client in running_servers:
        client.close()
        server.stop()


def states(client: PredictClient, model: str = "m") -> dict[int, str]:
    return {each.version: each.state for each in client.model_status(model)}


def eventually(condition: Callable[[], bool], what: str) -> None:
    wait_until(condition, timeout_s=30, what=what)


def test_a_new_version_appears_and_the_old_one_goes_after_it(serve: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    export_tiny_model(base, 1)
    _, client = serve(model_name="m", model_base_path=str(base))
    assert states(client) == {1: "AVAILABLE"}
    export_tiny_model(base, 2, bias=3.0)
    eventually(lambda: states(client) == {2: "AVAILABLE", 1: "END"}, "version 2 alone")
    np.testing.assert_allclose(client.predict("m", 2, IMAGES), tiny_probabilities(IMAGES, bias=3.0), atol=1e-5)
    with pytest.raises(ModelNotFoundError, match=r"Specific\(m, 1\)"):
        client.predict("m", 1, IMAGES)


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(serve: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    export_tiny_model(base, 1)
    _, client = serve(model_name="m", model_base_path=str(base), max_num_load_retries=1, load_retry_interval_micros=50_000)
    (base / "2").mkdir()
    (base / "2" / "saved_model.pb").write_bytes(b"no protobuf")
    eventually(lambda: states(client).get(2) == "END", "version 2 given up")
    assert states(client) == {2: "END", 1: "AVAILABLE"}
    assert client.model_status("m", version=2)[0].error_code != "OK"
    assert client.predict("m", client.describe("m").version, IMAGES).shape == (1, 7)


def test_a_version_without_its_variables_is_not_served(serve: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    export_tiny_model(base, 1)
    _, client = serve(model_name="m", model_base_path=str(base), max_num_load_retries=0)
    torn = export_tiny_model(tmp_path / "aside", 2)
    shutil.rmtree(torn / "variables")
    torn.rename(base / "2")
    eventually(lambda: states(client).get(2) == "END", "version 2 given up")
    assert states(client)[1] == "AVAILABLE"


@pytest.mark.parametrize("last", ["saved_model.pb", "variables.index", "variables.data-00000-of-00001"])
def test_a_version_that_is_copied_slowly_is_served_when_it_is_complete(serve: Any, tmp_path: Path, last: str) -> None:
    base, whole = tmp_path / "m", export_tiny_model(tmp_path / "aside", 2)
    export_tiny_model(base, 1)
    _, client = serve(model_name="m", model_base_path=str(base), max_num_load_retries=0)
    files = sorted((file for file in whole.rglob("*") if file.is_file()), key=lambda file: (file.name == last, str(file)))
    for file in files:
        copy, content = base / "2" / file.relative_to(whole), file.read_bytes()
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file is files[-1]:
            copy.write_bytes(content[: len(content) // 2])
            eventually(lambda: states(client).get(2) == "END", "half a version given up")
            assert client.predict("m", 1, IMAGES).shape == (1, 7)
        copy.write_bytes(content)
    eventually(lambda: states(client) == {2: "AVAILABLE", 1: "END"}, "version 2 when all of it is there")


def test_a_version_taken_away_and_put_back_is_loaded_again(serve: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    export_tiny_model(base, 1)
    _, client = serve(model_name="m", model_base_path=str(base))
    (base / "1").rename(tmp_path / "aside")
    eventually(lambda: states(client) == {1: "END"}, "version 1 unloaded")
    (tmp_path / "aside").rename(base / "1")
    eventually(lambda: states(client) == {1: "AVAILABLE"}, "version 1 back")


def test_constant_traffic_sees_no_gap_while_versions_change(serve: Any, tmp_path: Path) -> None:
    base = tmp_path / "m"
    export_tiny_model(base, 1)
    _, client = serve(model_name="m", model_base_path=str(base))
    stop, failures, answers = threading.Event(), [], set()

    def traffic() -> None:
        while not stop.is_set():
            try:
                answers.add(client.describe("m").version)
            except ModelNotFoundError as error:
                if "Latest(m)" in str(error):  # Specific: the version described went before its metadata were asked for
                    failures.append(error)

    threads = [threading.Thread(target=traffic) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in (2, 3, 4):
        export_tiny_model(base, version)
        eventually(lambda wanted=version: states(client).get(wanted) == "AVAILABLE", f"version {version}")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert {1, 4} <= answers | {client.describe("m").version}


def test_a_request_under_way_finishes_on_the_version_it_began_with(serve: Any, tmp_path: Path) -> None:
    from serving.protos.model_pb2 import ModelSpec

    base = tmp_path / "m"
    export_tiny_model(base, 1)
    server, client = serve(model_name="m", model_base_path=str(base))
    with server.core.use(ModelSpec(name="m")) as served:
        export_tiny_model(base, 2)
        eventually(lambda: states(client) == {2: "AVAILABLE", 1: "UNLOADING"}, "version 1 on its way out")
        signature = served.servable.signatures["serving_default"]
        (found,) = served.servable.run({signature.inputs["images"].name: IMAGES}, [signature.outputs["probabilities"].name])
        np.testing.assert_allclose(found, tiny_probabilities(IMAGES), atol=1e-5)
    eventually(lambda: states(client) == {2: "AVAILABLE", 1: "END"}, "version 1 gone")


def write_config(path: Path, base: Path, policy: str = "", labels: str = "", name: str = "m") -> None:
    partial = path.with_suffix(".part")
    partial.write_text(
        f'model_config_list {{ config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" '
        f"{f'model_version_policy {{ {policy} }}' if policy else ''} {labels} }} }}"
    )
    partial.replace(path)


def test_policies_and_labels_follow_the_configuration_file(serve: Any, tmp_path: Path) -> None:
    base, config = tmp_path / "m", tmp_path / "models.config"
    for version in (1, 2, 3):
        export_tiny_model(base, version)
    stable = 'version_labels {{ key: "stable" value: {} }}'
    write_config(config, base, "specific { versions: 1 versions: 3 }", stable.format(1))
    _, client = serve(
        model_config_file=str(config),
        model_config_file_poll_wait_seconds=0.05,
        allow_version_labels_for_unavailable_models=True,
    )
    assert states(client) == {3: "AVAILABLE", 1: "AVAILABLE"}
    assert client.describe("m", label="stable").version == 1
    write_config(config, base, "all {}", stable.format(3))
    eventually(lambda: client.describe("m", label="stable").version == 3, "the label on version 3")
    eventually(lambda: set(states(client).values()) == {"AVAILABLE"} and len(states(client)) == 3, "all versions")
    config.write_text("nonsense")
    write_config(config, base, "latest { num_versions: 2 }")
    eventually(lambda: states(client) == {3: "AVAILABLE", 2: "AVAILABLE", 1: "END"}, "the latest two")
    with pytest.raises(ModelNotFoundError, match="Unrecognized servable version label: stable"):
        client.describe("m", label="stable")
    write_config(config, base, name="other")
    eventually(lambda: client.ready("other") and set(states(client).values()) == {"END"}, "the model under another name")


def test_one_bad_model_does_not_keep_the_others_from_starting(serve: Any, tmp_path: Path) -> None:
    base, config = tmp_path / "m", tmp_path / "models.config"
    export_tiny_model(base, 1)
    (tmp_path / "bad" / "1").mkdir(parents=True)
    config.write_text(
        "model_config_list {"
        f' config {{ name: "bad" base_path: "{tmp_path / "bad"}" model_platform: "tensorflow" }}'
        f' config {{ name: "m" base_path: "{base}" model_platform: "tensorflow" }} }}'
    )
    _, client = serve(model_config_file=str(config), max_num_load_retries=0)
    assert states(client) == {1: "AVAILABLE"}
    assert [(each.state, each.error_code) for each in client.model_status("bad")] == [("END", "NOT_FOUND")]


def test_answers_in_tensor_content_when_told_so(serve: Any, tmp_path: Path) -> None:
    export_tiny_model(tmp_path / "m", 1)
    _, client = serve(model_name="m", model_base_path=str(tmp_path / "m"), enable_serialization_as_tensor_content=True)
    np.testing.assert_allclose(client.predict("m", 1, IMAGES), tiny_probabilities(IMAGES), atol=1e-5)


def embedded(*flags: str) -> list[str]:
    return [sys.executable, "-m", "serving.embedded", *flags]


def test_the_port_opens_when_the_first_version_is_there_and_sigterm_ends_it_with_zero(tmp_path: Path) -> None:
    base, log, port = tmp_path / "m", tmp_path / "log", free_port()
    base.mkdir()
    flags = [
        f"--port={port}",
        "--model_name=m",
        f"--model_base_path={base}",
        "--file_system_poll_wait_seconds=0.1",
        "--xla_gpu_compilation_enabled",
    ]
    with running(embedded(*flags), log=log) as process:
        eventually(lambda: "No versions of servable m" in log.read_text(), "the server looking at an empty folder")
        assert not accepts(port)
        export_tiny_model(base, 1)
        eventually(lambda: accepts(port), "the port")
        with PredictClient(f"127.0.0.1:{port}") as client:
            assert client.predict("m", 1, IMAGES).shape == (1, 7)  # at once: what listens is loaded
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    said = log.read_text()
    assert f"Running gRPC ModelServer at 127.0.0.1:{port}" in said
    assert "--xla_gpu_compilation_enabled" in said
    assert "absl" not in said
    assert "cuInit" not in said


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "m" / "1").mkdir(parents=True)
    command = embedded(f"--model_base_path={tmp_path / 'm'}", "--port=0", "--max_num_load_retries=0")
    done = subprocess.run(command, cwd=ROOT, timeout=120, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        "Failed to start server. Error: UNKNOWN: 1 model(s) did not become available: {{{name: default version: 1}"
        in done.stderr
    )


def test_a_configuration_that_is_no_text_is_answered_before_tensorflow_loads(tmp_path: Path) -> None:
    config = tmp_path / "models.config"
    config.write_text("improperly formatted file")
    python = f"import sys; sys.argv[1:] = ['--port=0', '--model_config_file={config}']; import serving.embedded.__main__ as m"
    ending = "try: m.main()\nfinally: print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{python}\n{ending}"], cwd=ROOT, timeout=120, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "False\n")
    assert "Failed to start server. Error: INVALID_ARGUMENT: Invalid protobuf file: " in done.stderr
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig: 1:1 : " in done.stderr


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    export_tiny_model(tmp_path / "m", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = EmbeddedServer(Options(port=taken.getsockname()[1], model_name="m", model_base_path=str(tmp_path / "m")))
        with pytest.raises(OSError, match="cannot listen on"):
            server.start()
        server.stop()


def test_stopping_lets_a_request_finish(serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_tiny_model(tmp_path / "m", 1)
    server, client = serve(model_name="m", model_base_path=str(tmp_path / "m"))
    use, begun, stopping = server.core.use, threading.Event(), threading.Event()

    @contextmanager
    def slowly(spec: Any) -> Iterator[Any]:
        with use(spec) as served:
            begun.set()
            stopping.wait(20)
            yield served

    monkeypatch.setattr(server.core, "use", slowly)
    pending = client.predict_async("m", 1, IMAGES)
    assert begun.wait(20)
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    eventually(lambda: not accepts(server.port), "the port closed")
    stopping.set()
    assert pending.result().shape == (1, 7)
    stopper.join()


def test_sigterm_ends_a_server_that_waits_for_its_first_version(tmp_path: Path) -> None:
    log = tmp_path / "log"
    (tmp_path / "m").mkdir()
    flags = [
        f"--port={free_port()}",
        "--model_name=m",
        f"--model_base_path={tmp_path / 'm'}",
        "--file_system_poll_wait_seconds=0.1",
    ]
    with running(embedded(*flags), log=log) as process:
        eventually(lambda: "No versions of servable m" in log.read_text(), "the server looking at an empty folder")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
