"""What the server knows of its models: GetModelMetadata and GetModelStatus, for gRPC and REST alike."""

from __future__ import annotations

from typing import Any

from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from serving.embedded.servercore import ServerCore
from serving.embedded.status import invalid_argument, not_found


def get_metadata(core: ServerCore, request: Any) -> Any:
    """GetModelMetadataRequest → its response, the signatures (get_model_metadata_impl.cc).

    Raises:
        StatusError: in TensorFlow Serving's words.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for name in request.metadata_field:
        if name != "signature_def":
            raise invalid_argument(f"Metadata field {name} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with core.use(request.model_spec) as served:
        response.model_spec.name = served.name
        response.model_spec.version.value = served.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in served.servable.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
    response.metadata["signature_def"].Pack(signatures)
    return response


def get_status(core: ServerCore, request: Any) -> Any:
    """GetModelStatusRequest → its response: versions newest first; labels are ignored (get_model_status_impl.cc).

    Raises:
        StatusError: in TensorFlow Serving's words.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    name = request.model_spec.name
    reports = core.manager.report(name)
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
