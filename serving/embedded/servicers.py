"""PredictionService and ModelService over ServerCore. Thin: messages in, messages out, StatusError → gRPC status."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from core.logs import get_logger
from serving.embedded.modelconfig import entries_of
from serving.embedded.predict import Array, Call, predict
from serving.embedded.servercore import Served, ServerCore
from serving.embedded.status import StatusError, invalid_argument, not_found

_log = get_logger(__name__)

Runner = Callable[[Served, Call, float | None], list[Array]]  # the last: seconds left to the request; None: for ever
Handler = Callable[[Any, Any, grpc.ServicerContext], Any]


def _answering(handler: Handler) -> Handler:
    """Turn StatusError into the RPC's status; anything else is this server's own fault, INTERNAL, and logged."""

    @wraps(handler)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return handler(self, request, context)
        except StatusError as error:
            failure = error
        except Exception as error:
            _log.exception("internal error", method=handler.__name__)
            failure = StatusError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
        return context.abort(failure.code, failure.details)

    return answer


class PredictionServicer(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Predict and GetModelMetadata. Classify, Regress and MultiInference answer UNIMPLEMENTED, as the base class does."""

    def __init__(self, core: ServerCore, run: Runner, *, as_content: bool = False) -> None:
        self._core = core
        self._run = run
        self._as_content = as_content

    @_answering
    def Predict(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Run a signature."""

        def run(served: Served, call: Call) -> list[Array]:
            if not context.is_active():
                raise StatusError(grpc.StatusCode.CANCELLED, "nobody waits for the answer any more")
            return self._run(served, call, context.time_remaining())

        return predict(self._core, request, run, as_content=self._as_content)

    @_answering
    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        """The signatures (get_model_metadata_impl.cc)."""
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid_argument(f"Metadata field {name} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self._core.use(request.model_spec) as served:
            response.model_spec.name = served.name
            response.model_spec.version.value = served.version
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for name, signature in served.servable.signatures.items():
                signatures.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, core: ServerCore) -> None:
        self._core = core

    @_answering
    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ARG002
        """The states of a model's versions, newest first; labels are ignored (get_model_status_impl.cc)."""
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        name = request.model_spec.name
        reports = self._core.manager.report(name)
        if request.model_spec.HasField("version"):
            number = request.model_spec.version.value
            reports = [report for report in reports if report.number == number]
            if not reports:
                raise not_found(f"Could not find version {number} of model {name}")
        if not reports:
            raise not_found(f"Could not find any versions of model {name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for report in reports:
            status = response.model_version_status.add(version=report.number, state=int(report.state))
            status.status.error_code = 0 if report.error is None else report.error.code.value[0]
            status.status.error_message = "" if report.error is None else report.error.message
        return response

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
