"""grpc.health.v1.Health, as `--enable_grpc_healthcheck_service` switches it on.

The port opens only when the models are loaded, so what answers is serving; while it stops, it is not. As gRPC's own default
service (which TensorFlow Serving uses): Check knows the empty name and the names of the services, Watch tells of each change.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc

from serving.protos.health_pb2 import HealthCheckRequest, HealthCheckResponse

HEALTH_SERVICE = "grpc.health.v1.Health"
_NAMES = frozenset({"", "PredictionService", "ModelService"})


class HealthServicer:
    """Check and Watch."""

    def __init__(self) -> None:
        """Serving from the start."""
        self._changed = threading.Condition()
        self._serving = True

    def stop(self) -> None:
        """Not serving from now on; ends all watches."""
        with self._changed:
            self._serving = False
            self._changed.notify_all()

    def handler(self) -> grpc.GenericRpcHandler:
        """To be added to a server."""
        return grpc.method_handlers_generic_handler(
            HEALTH_SERVICE,
            {
                "Check": grpc.unary_unary_rpc_method_handler(
                    self._check, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
                ),
                "Watch": grpc.unary_stream_rpc_method_handler(
                    self._watch, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
                ),
            },
        )

    def _check(self, request: HealthCheckRequest, context: grpc.ServicerContext) -> HealthCheckResponse:
        if request.service not in _NAMES:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return self._status()

    def _watch(self, request: HealthCheckRequest, context: grpc.ServicerContext) -> Iterator[HealthCheckResponse]:
        known = request.service in _NAMES
        context.add_callback(self._wake)
        yield self._status() if known else HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        with self._changed:
            self._changed.wait_for(lambda: not self._serving or not context.is_active())
        if known and context.is_active():
            yield self._status()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _status(self) -> HealthCheckResponse:
        return HealthCheckResponse(status=HealthCheckResponse.SERVING if self._serving else HealthCheckResponse.NOT_SERVING)
