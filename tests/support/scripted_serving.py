"""A gRPC server that answers Predict as a test says: for what no real server would answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np

from serving.client import PredictClient
from serving.protos import predict_pb2
from serving.retrying import Retry
from serving.tensors import fill_tensor


class Scripted(grpc.GenericRpcHandler):
    """A real gRPC server that answers Predict from a list: messages, or (code, details)."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls = 0

    def service(self, _details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            self._answer,
            request_deserializer=predict_pb2.PredictRequest.FromString,
            response_serializer=predict_pb2.PredictResponse.SerializeToString,
        )

    def _answer(self, _request: Any, context: grpc.ServicerContext) -> Any:
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, tuple):
            context.abort(*answer)
        return answer


@contextmanager
def scripted_servers() -> Iterator[Callable[..., tuple[Scripted, PredictClient]]]:
    """A function that starts such a server, with a client to it."""
    servers = []

    def serve(*answers: Any) -> tuple[Scripted, PredictClient]:
        handler = Scripted(*answers)
        server = grpc.server(futures.ThreadPoolExecutor(2), handlers=[handler])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        client = PredictClient(f"127.0.0.1:{port}", timeout_s=5, retry=Retry(attempts=3, base_s=0.01))
        servers.append((server, client))
        return handler, client

    try:
        yield serve
    finally:
        for server, client in servers:
            client.close()
            server.stop(0).wait()


def answer_of(
    values: list[list[float]], version: int = 1, *, novelty: list[float] | list[list[float]] | None = None
) -> predict_pb2.PredictResponse:
    """float32 [n, classes], and novelty if it is given."""
    response = predict_pb2.PredictResponse()
    response.model_spec.version.value = version
    fill_tensor(response.outputs["probabilities"], np.array(values, np.float32), as_content=False)
    if novelty is not None:
        fill_tensor(response.outputs["novelty"], np.array(novelty, np.float32), as_content=False)
    return response
