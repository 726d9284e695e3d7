"""PredictionService and ModelService over ServerCore. Thin: messages in, messages out, StatusError → gRPC status."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import grpc
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from core.telemetry.logs import get_logger
from serving.embedded.caller import Caller
from serving.embedded.inference import classify, multi_inference, regress
from serving.embedded.lookups import get_metadata, get_status
from serving.embedded.metrics import Metrics
from serving.embedded.modelconfig import entries_of
from serving.embedded.predict import Array, Call, Run, Runner, predict
from serving.embedded.servercore import Served, ServerCore
from serving.embedded.status import StatusError, invalid_argument

_log = get_logger(__name__)

Handler = Callable[[Any, Any, grpc.ServicerContext], Any]


def _answering(handler: Handler) -> Handler:
    """Turn StatusError into the RPC's status; anything else is this server's own fault, INTERNAL, and logged."""

    @wraps(handler)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            Caller(context.time_remaining(), context.is_active).require("a thread")
            return handler(self, request, context)
        except StatusError as error:
            failure = error
        except Exception as error:  # noqa: BLE001 - logged; the client gets INTERNAL instead of gRPC's UNKNOWN
            _log.exception("internal error", method=handler.__name__)
            failure = StatusError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        return context.abort(failure.code, failure.details)

    return answer


class PredictionServicer(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def __init__(self, core: ServerCore, run: Runner, metrics: Metrics, *, as_content: bool = False) -> None:
        self._core = core
        self._run = run
        self._metrics = metrics
        self._as_content = as_content

    @_answering
    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a signature."""
        with self._metrics.observe(request.model_spec.name, "GRPC"):
            return predict(self._core, request, self._runner(context), as_content=self._as_content)

    @_answering
    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Examples → classes."""
        with self._metrics.observe(request.model_spec.name, "GRPC", "classify"):
            return classify(self._core, request, self._runner(context))

    @_answering
    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Examples → values."""
        with self._metrics.observe(request.model_spec.name, "GRPC", "regress"):
            return regress(self._core, request, self._runner(context))

    @_answering
    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Examples → classes and values, of several signatures."""
        name = request.tasks[0].model_spec.name if request.tasks else ""
        with self._metrics.observe(name, "GRPC", "multiinference"):
            return multi_inference(self._core, request, self._runner(context))

    def _runner(self, context: grpc.ServicerContext) -> Run:
        def run(served: Served, call: Call) -> list[Array]:
            return self._run(served, call, Caller(context.time_remaining(), context.is_active))

        return run

    @_answering
    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        """The signatures."""
        return get_metadata(self._core, request)


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    @_answering
    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        """The states of a model's versions."""
        return get_status(self._core, request)

    @_answering
    def HandleReloadConfigRequest(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Replace the configuration whole; answers when the newly named models are available (model_service_impl.cc)."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently supported"
            )
        entries = entries_of(request.config)
        self._core.configure(entries, timeout_s=context.time_remaining())
        _log.info("configuration reloaded", models=[entry.name for entry in entries])
        response = model_management_pb2.ReloadConfigResponse()
        response.status.error_code = 0
        return response
