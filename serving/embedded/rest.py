"""The REST API beside gRPC: an adapter from paths and JSON to the same functions (http_rest_api_handler.cc, http_server.cc).

POST /v1/models/M[/versions/V|/labels/L]:(predict|classify|regress)    GET /v1/models/M[/versions/V|/labels/L]    GET …/metadata
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format  # type: ignore[import-untyped, unused-ignore]
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from core.telemetry.logs import get_logger
from serving.embedded.caller import Caller
from serving.embedded.inference import classify, regress
from serving.embedded.jsonexamples import classification_results, fill_examples, regression_results
from serving.embedded.jsontensor import parse_body, read_inputs, write_outputs
from serving.embedded.lookups import get_metadata, get_status
from serving.embedded.metrics import Metrics
from serving.embedded.predict import Array, Call, Runner, predict
from serving.embedded.servercore import Served, ServerCore
from serving.embedded.status import StatusError, invalid_argument
from serving.tensors import fill_tensor, to_array

_log = get_logger(__name__)

_WHICH = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_RUN = re.compile(_WHICH + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
_LOOK = re.compile(_WHICH + r"(?P<metadata>/metadata)?", re.IGNORECASE)

_HTTP = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}  # any other: 500


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"


class RestAdapter:
    """Answers HTTP requests, whoever carries them."""

    def __init__(
        self, core: ServerCore, run: Runner, metrics: Metrics, *, metrics_path: str = "", timeout_s: float | None = None
    ) -> None:
        """Use the same core and runner as gRPC.

        Args:
            core: finds servables.
            run: computes.
            metrics: counts, and writes the Prometheus page.
            metrics_path: of that page; empty: none.
            timeout_s: of one call; None: for ever.
        """
        self._core = core
        self._run = run
        self._metrics = metrics
        self._metrics_path = metrics_path
        self._timeout_s = timeout_s

    def answer(self, method: str, path: str, body: bytes) -> Answer:
        """One request → its response; errors are `{"error": …}`."""
        if self._metrics_path and method == "GET" and path == self._metrics_path:
            return Answer(200, self._metrics.page().encode(), "text/plain; version=0.0.4")
        if not path.lower().startswith("/v1/"):
            return Answer(404, json.dumps({"error": f"nothing is at {path}; the API is under /v1/models/"}).encode())
        try:
            found = self._route(method, path, body)
            return Answer(200, json.dumps(found, indent=4).encode())
        except StatusError as error:
            status, said = _HTTP.get(error.code.name, 500), error.details
        except Exception as error:  # noqa: BLE001 - logged; the client gets an answer: 500, as gRPC's INTERNAL
            _log.exception("internal error", path=path)
            status, said = 500, f"{type(error).__name__}: {error}"
        return Answer(status, json.dumps({"error": said}).encode())

    def _route(self, method: str, path: str, body: bytes) -> Any:
        if method == "POST" and (asked := _RUN.fullmatch(path)):
            return self._infer(asked["method"].lower(), _model_spec(asked), body)
        if method == "GET" and (asked := _LOOK.fullmatch(path)):
            return self._metadata(_model_spec(asked)) if asked["metadata"] else self._status(_model_spec(asked))
        raise invalid_argument(f"Malformed request: {method} {path}")

    def _infer(self, method: str, spec: Any, text: bytes) -> Any:
        with self._metrics.observe(spec.name, "REST", method):
            body = parse_body(text)
            spec.signature_name = body.get("signature_name", "")
            if method == "predict":
                return self._predict(spec, body)
            if method == "classify":
                asked = classification_pb2.ClassificationRequest(model_spec=spec)
                fill_examples(asked.input, body)
                return classification_results(classify(self._core, asked, self._bounded).result)
            asked = regression_pb2.RegressionRequest(model_spec=spec)
            fill_examples(asked.input, body)
            return regression_results(regress(self._core, asked, self._bounded).result)

    def _predict(self, spec: Any, body: Mapping[str, Any]) -> Any:
        request = predict_pb2.PredictRequest(model_spec=spec)
        arrays, in_rows = read_inputs(body, self._inputs(request.model_spec))
        for alias, array in arrays.items():
            fill_tensor(request.inputs[alias], array)
        response = predict(self._core, request, self._bounded, as_content=True)
        outputs = {alias: to_array(response.outputs[alias]) for alias in sorted(response.outputs)}
        return write_outputs(outputs, in_rows=in_rows)

    def _bounded(self, served: Served, call: Call) -> list[Array]:
        return self._run(served, call, Caller(self._timeout_s))

    def _inputs(self, spec: Any) -> dict[str, Any]:
        name = spec.signature_name or "serving_default"
        with self._core.use(spec) as served:
            signature = served.servable.signatures.get(name)
        if signature is None:
            raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
        if not signature.inputs:
            raise invalid_argument(f"Failed to get input map for signature: {spec.signature_name or 'DEFAULT'}")
        return dict(signature.inputs)

    def _metadata(self, spec: Any) -> Any:
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        response = get_metadata(self._core, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        found = {"name": response.model_spec.name, "signature_name": "", "version": str(response.model_spec.version.value)}
        return {"model_spec": found, "metadata": {"signature_def": _as_dict(signatures)}}

    def _status(self, spec: Any) -> Any:
        if spec.version_label:
            with self._core.use(spec) as served:
                spec.version.value = served.version
        return _as_dict(get_status(self._core, get_model_status_pb2.GetModelStatusRequest(model_spec=spec)))


def _as_dict(message: Any) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _model_spec(asked: re.Match[str]) -> Any:
    spec = model_pb2.ModelSpec(name=asked["name"])
    if asked["version"]:
        if int(asked["version"]) >= 1 << 63:
            raise invalid_argument(f"Failed to convert version: {asked['version']} to numeric.")
        spec.version.value = int(asked["version"])
    elif asked["label"]:
        spec.version_label = asked["label"]
    return spec
