"""The embedded server put together, and its life from the first load to the signal that ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

import grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from core.hosts import join_host
from core.processors import usable_processors
from core.telemetry.logs import get_logger
from serving.embedded.batching import Batcher
from serving.embedded.configfiles import read_batching, read_entries, read_metrics_path
from serving.embedded.credentials import read_credentials
from serving.embedded.health import HealthServicer
from serving.embedded.manager import ServableManager
from serving.embedded.metrics import Metrics
from serving.embedded.modelconfig import ModelEntry
from serving.embedded.options import Options
from serving.embedded.rest import RestAdapter
from serving.embedded.restserver import RestServer
from serving.embedded.servable import SavedModelServable, Threads, load_servable
from serving.embedded.servercore import ServerCore
from serving.embedded.servicers import ModelServicer, PredictionServicer
from serving.embedded.slots import RunSlots
from serving.embedded.source import FileSystemSource
from serving.embedded.status import StatusError
from serving.embedded.warmup import warm_up

_log = get_logger(__name__)

GRACE_S = 30.0  # what running requests may take after SIGTERM


class EmbeddedServer:
    """One server. `start` returns when the models are loaded and the port is open."""

    def __init__(self, options: Options) -> None:
        """No model is loaded before `start`.

        Raises:
            StatusError: a configuration file contradicts itself.
            OSError: it cannot be read.
        """
        self.options = options
        self.port = 0  # of the gRPC API; 0 where only its Unix socket is there
        self._credentials = read_credentials(options)
        if self._credentials and options.rest_api_port:
            _log.warning("REST and the Prometheus page stay plain HTTP, as TensorFlow Serving's", port=options.rest_api_port)
        slots = options.tensorflow_inter_op_parallelism or options.tensorflow_session_parallelism or usable_processors()
        intra_op = options.tensorflow_intra_op_parallelism or options.tensorflow_session_parallelism or 1
        threads = Threads(intra_op=intra_op)
        manager: ServableManager[SavedModelServable] = ServableManager(
            lambda _model, _version, path: load_warm(path, threads, options),
            max_retries=options.max_num_load_retries,
            retry_interval_s=options.load_retry_interval_micros / 1e6,
        )
        source = FileSystemSource(manager.aspire, options.file_system_poll_wait_seconds)
        self.core = ServerCore(
            manager, source, allow_labels_for_unavailable=options.allow_version_labels_for_unavailable_models
        )
        self._grpc = grpc.server(
            ThreadPoolExecutor(max_workers=options.grpc_max_threads, thread_name_prefix="rpc"),
            options=[
                ("grpc.max_receive_message_length", -1),  # 4 MB otherwise; TensorFlow Serving itself takes 2 GiB
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a lottery
                *options.channel_arguments,
            ],
        )
        self._batcher = Batcher(read_batching(options)) if options.enable_batching else None
        run = self._batcher.run if self._batcher else RunSlots(slots, options.max_queued_requests).run
        metrics = Metrics(lambda name: bool(manager.report(name)))
        timeout_s = options.rest_api_timeout_in_ms / 1000
        self._adapter = RestAdapter(self.core, run, metrics, metrics_path=read_metrics_path(options), timeout_s=timeout_s)
        self._rest: RestServer | None = None
        prediction = PredictionServicer(self.core, run, metrics, as_content=options.enable_serialization_as_tensor_content)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(self.core), self._grpc)
        self._health = HealthServicer()
        if options.enable_grpc_healthcheck_service:
            self._grpc.add_generic_rpc_handlers((self._health.handler(),))
        self._applied: tuple[ModelEntry, ...] = ()
        self._stopped = threading.Event()
        self._config_watch = threading.Thread(target=self._watch_config, name="config-watch", daemon=True)

    def start(self) -> None:
        """Load the models, then open the port.

        Raises:
            StatusError: the configuration or a model cannot be served.
            OSError: the configuration file cannot be read, or the port is taken.
        """
        self._applied = read_entries(self.options)
        self.core.start(self._applied)
        socket_path = self.options.grpc_socket_path
        if self.options.port or not socket_path:
            self.port = self._listen(join_host(self.options.bind_address, self.options.port))
        if socket_path:
            self._listen(f"unix:{socket_path}")
        self._grpc.start()
        if self.options.rest_api_port:
            self._rest = RestServer(
                self._adapter,
                self.options.bind_address,
                self.options.rest_api_port,
                threads=self.options.rest_api_num_threads,
                cors=self.options.rest_api_enable_cors_support,
            )
            self._rest.start()
            _log.info(f"Exporting HTTP/REST API at:{join_host(self.options.bind_address, self._rest.port)} ...")
        if self.options.model_config_file and self.options.model_config_file_poll_wait_seconds > 0:
            self._config_watch.start()
        where = [join_host(self.options.bind_address, self.port)] if self.port else []
        where += [f"unix:{socket_path}"] if socket_path else []
        _log.info(f"Running gRPC ModelServer at {' and '.join(where)} ...")

    def _listen(self, address: str) -> int:
        """Open an address, with TLS where the flag says so; the port, or 1 for a Unix socket."""
        try:
            if self._credentials is None:
                return int(self._grpc.add_insecure_port(address))
            return int(self._grpc.add_secure_port(address, self._credentials))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error

    def stop(self, grace_s: float = GRACE_S) -> None:
        """Take no more requests, let the running ones finish, unload."""
        self._stopped.set()
        self._health.stop()
        if self._rest:
            self._rest.stop()
        self._grpc.stop(grace_s).wait()
        if self._batcher:
            self._batcher.stop()
        self.core.stop()

    def _watch_config(self) -> None:
        """Read the configuration file again and again; one that cannot be served leaves the old one in force."""
        while not self._stopped.wait(self.options.model_config_file_poll_wait_seconds):
            try:
                entries = read_entries(self.options)
                if entries != self._applied:
                    self.core.configure(entries)
                    self._applied = entries
                    _log.info("configuration reloaded", models=[entry.name for entry in entries])
            except (OSError, StatusError) as error:
                _log.error("configuration not reloaded", file=self.options.model_config_file, error=str(error))


def load_warm(path: Path, threads: Threads, options: Options) -> SavedModelServable:
    """Load a version and run its warm-up requests.

    Raises:
        StatusError: it cannot be loaded, or one of them fails.
    """
    tags = options.saved_model_tags.split(",")
    servable = load_servable(path, threads, tags=tags, check_method_names=options.enable_signature_method_name_check)
    if not options.enable_model_warmup:
        return servable
    try:
        warm_up(servable, path, rounds=max(1, options.num_request_iterations_for_warmup))
    except BaseException:
        servable.close()
        raise
    return servable


def serve(options: Options) -> int:
    """Run until SIGTERM or SIGINT.

    Returns:
        The process's exit code: 0 after a signal, 1 if the server could not start.
    """
    asked_to_stop, started = threading.Event(), threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        asked_to_stop.set()
        if not started.is_set():  # it may wait for its first version for ever, and nobody has been answered yet
            os._exit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        server = EmbeddedServer(options)
        server.start()
    except (StatusError, OSError) as error:
        _log.error(f"Failed to start server. Error: {error}")
        return 1
    started.set()
    asked_to_stop.wait()
    _log.info("stopping")
    server.stop()
    return 0


def exit_now(code: int) -> None:
    """End the process without TensorFlow's destructors, which take seconds and can crash after the threads are gone."""
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(code)
