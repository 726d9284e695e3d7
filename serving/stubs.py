"""The RPCs DermQ calls, over its own messages.

Written by hand, because the service's name is a part of the path and must be TensorFlow Serving's.
"""

from __future__ import annotations

from typing import Any

import grpc

from serving.protos import management_pb2, metadata_pb2, predict_pb2, status_pb2

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"


class Stubs:
    """Callables for PredictionService and ModelService on one channel.

    Each takes `(request, timeout=…, metadata=…)` and has `.future(…)` of the same: grpc.UnaryUnaryMultiCallable.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self.predict = _method(channel, PREDICTION_SERVICE, "Predict", predict_pb2.PredictResponse)
        self.metadata = _method(channel, PREDICTION_SERVICE, "GetModelMetadata", metadata_pb2.GetModelMetadataResponse)
        self.status = _method(channel, MODEL_SERVICE, "GetModelStatus", status_pb2.GetModelStatusResponse)
        self.reload_config = _method(channel, MODEL_SERVICE, "HandleReloadConfigRequest", management_pb2.ReloadConfigResponse)


def _method(channel: grpc.Channel, service: str, name: str, response: Any) -> grpc.UnaryUnaryMultiCallable:
    return channel.unary_unary(
        f"/{service}/{name}",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=response.FromString,
    )
