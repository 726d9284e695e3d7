"""A real gRPC server that answers Predict as `tests.support.tiny_model` does, until it is made to fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import numpy as np
import numpy.typing as npt

from serving.protos import predict_pb2
from serving.tensors import fill_tensor, to_array
from tests.support.tiny_model import tiny_probabilities

Verdict = tuple[grpc.StatusCode, str] | None


@dataclass
class FailingServing(grpc.GenericRpcHandler):
    """Keeps the size of every batch it was sent, and fails where `verdict` says so."""

    verdict: Callable[[npt.NDArray[np.uint8]], Verdict] = lambda _: None
    sizes: list[int] = field(default_factory=list)
    address: str = ""

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            self._answer,
            request_deserializer=predict_pb2.PredictRequest.FromString,
            response_serializer=predict_pb2.PredictResponse.SerializeToString,
        )

    def _answer(self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext) -> predict_pb2.PredictResponse:
        images = to_array(request.inputs["images"])
        self.sizes.append(len(images))
        if (refused := self.verdict(images)) is not None:
            context.abort(*refused)
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = request.model_spec.version.value
        fill_tensor(response.outputs["probabilities"], tiny_probabilities(images), as_content=False)
        return response


@contextmanager
def failing_serving(verdict: Callable[[npt.NDArray[np.uint8]], Verdict]) -> Iterator[FailingServing]:
    """Such a server on a free loopback port."""
    handler = FailingServing(verdict)
    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[handler])
    handler.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield handler
    finally:
        server.stop(0).wait()
