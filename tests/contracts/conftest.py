"""The server that the conformance suite talks to: the embedded one, or any that `--serving-address` names.

    pytest tests/contracts/test_conformance*.py --serving-address=host:8500 [--serving-models=/models/tfserving]

The suite configures that server itself, through HandleReloadConfigRequest, and leaves it serving the models below: do not point
it at one that others use. It needs TensorFlow Serving's own test models (../shared/data/tfserving here) under the folder that
`--serving-models` names *as the server sees it*, and these flags:

    tensorflow_model_server --port=8500 --model_config_file=<any ModelConfigList> --max_num_load_retries=0
        --enable_grpc_healthcheck_service

Tests that need a server with other flags, or files of their own, run against the embedded server only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving.embedded.tensorflow_runtime import tf  # noqa: F401 - quietly, before the official stubs import it

MODELS = {
    "half_plus_two": "saved_model_half_plus_two_cpu",
    "half_plus_two_tf2": "saved_model_half_plus_two_tf2_cpu",
    "half_plus_two_2_versions": "saved_model_half_plus_two_2_versions",
    "half_plus_three": "saved_model_half_plus_three",
    "counter": "saved_model_counter",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known when the command line names tests/contracts or a file in it."""
    parser.addoption("--serving-address", help="host:port of the server that the conformance suite asks")
    parser.addoption("--serving-models", help="the folder of TensorFlow Serving's test models as that server sees it")


@dataclass(frozen=True)
class Server:
    """A server under test, by its official stubs."""

    address: str  # host:port
    channel: grpc.Channel
    models: Path  # data/tfserving, as the server sees it

    @property
    def prediction(self) -> Any:
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        return prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    @property
    def management(self) -> Any:
        from tensorflow_serving.apis import model_service_pb2_grpc

        return model_service_pb2_grpc.ModelServiceStub(self.channel)

    def entry(self, name: str, folder: str | None = None, **more: Any) -> Any:
        """A ModelConfig that serves all versions of a folder of the test models."""
        from tensorflow_serving.config import model_server_config_pb2

        settings = {
            "base_path": str(self.models / (folder or MODELS.get(name, name))),
            "model_platform": "tensorflow",
            "model_version_policy": {"all": {}},
            **more,
        }
        return model_server_config_pb2.ModelConfig(name=name, **settings)

    def reload(self, *entries: Any, timeout_s: float = 60) -> Any:
        """HandleReloadConfigRequest with exactly these models."""
        from tensorflow_serving.apis import model_management_pb2

        request = model_management_pb2.ReloadConfigRequest()
        request.config.model_config_list.config.extend(entries)
        return self.management.HandleReloadConfigRequest(request, timeout=timeout_s)

    def reset(self, *more: Any) -> None:
        """Serve all of MODELS again, without labels, and `more`."""
        self.reload(*(self.entry(name) for name in MODELS), *more)


@pytest.fixture(scope="session")
def conformance_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of the server under test."""
    given = request.config.getoption("--serving-address", default=None)
    if given is not None:
        yield given
        return
    from serving.embedded.options import Options
    from serving.embedded.server import EmbeddedServer

    config = tmp_path_factory.mktemp("conformance") / "models.config"
    config.write_text("model_config_list {}")
    flags = {"max_num_load_retries": 0, "enable_grpc_healthcheck_service": True}
    server = EmbeddedServer(Options(port=0, model_config_file=str(config), **flags))
    server.start()
    yield f"127.0.0.1:{server.port}"
    server.stop()


@pytest.fixture(scope="session")
def server(conformance_address: str, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server under test, with all of MODELS."""
    models = request.config.getoption("--serving-models", default=None)
    folder = Path(models) if models else request.getfixturevalue("shared_data") / "tfserving"
    if not models and not folder.is_dir():
        pytest.skip("TensorFlow Serving's test models are not there: data/tfserving")
    with grpc.insecure_channel(conformance_address) as channel:
        server = Server(conformance_address, channel, folder)
        server.reset()
        yield server


@pytest.fixture
def embedded() -> Iterator[Callable[..., Any]]:
    """Start an embedded server with options of its own; gives its official stubs and the server itself."""
    with embedded_servers() as start:
        yield start


@pytest.fixture(scope="module")
def embedded_for_all() -> Iterator[Callable[..., Any]]:
    """As `embedded`, for a whole file."""
    with embedded_servers() as start:
        yield start


@contextmanager
def embedded_servers() -> Iterator[Callable[..., Any]]:
    """Starts servers, and stops them at the end."""
    from serving.embedded.options import Options
    from serving.embedded.server import EmbeddedServer

    with ExitStack() as at_the_end:

        def start(**options: Any) -> tuple[Server, EmbeddedServer]:
            server = EmbeddedServer(Options(**{"port": 0, "max_num_load_retries": 0, **options}))
            at_the_end.callback(server.stop)
            server.start()
            address = f"127.0.0.1:{server.port}" if server.port else f"unix:{server.options.grpc_socket_path}"
            channel = at_the_end.enter_context(grpc.insecure_channel(address))
            return Server(address, channel, Path("/")), server

        yield start
