"""The REST API and the Prometheus page, against TensorFlow Serving's own models and its recorded metadata."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.embedded.tensorflow_runtime import tf
from tests.support.servers import free_port
from tests.support.tiny_model import export_tiny_model

MODELS = {
    "default": "saved_model_half_plus_two_2_versions",
    "tf2": "saved_model_half_plus_two_tf2_cpu",
    "three": "saved_model_half_plus_three",
}
Ask = Callable[..., tuple[int, Any]]


@pytest.fixture(scope="module")
def rest_port(embedded_for_all: Any, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The REST port of a server with TensorFlow Serving's models."""
    folder = shared_data / "tfserving"
    if not folder.is_dir():
        pytest.skip("TensorFlow Serving's test models are not there: data/tfserving")
    configs = tmp_path_factory.mktemp("configs")
    port, config = free_port(), configs / "models.config"
    rest = 'model_platform: "tensorflow" model_version_policy { all {} } version_labels { key: "old" value: 123 }'
    entries = "".join(f'config {{ name: "{name}" base_path: "{folder / path}" {rest} }}' for name, path in MODELS.items())
    config.write_text(f"model_config_list {{ {entries} }}")
    embedded_for_all(
        model_config_file=str(config),
        rest_api_port=port,
        monitoring_config_file=str(folder / "monitoring_config.txt"),
        allow_version_labels_for_unavailable_models=True,
        rest_api_enable_cors_support=True,
    )
    return port


@pytest.fixture(scope="module")
def ask(rest_port: int) -> Ask:
    """Ask that server: (status, JSON or text)."""

    def ask(path: str, body: Any = None, raw: bytes | None = None) -> tuple[int, Any]:
        data = raw if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{rest_port}{path}", data=data)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310
                status, kind, text = response.status, response.headers["Content-Type"], response.read()
        except urllib.error.HTTPError as error:
            with error:
                status, kind, text = error.code, error.headers["Content-Type"], error.read()
        return status, json.loads(text) if kind == "application/json" else text.decode()

    return ask


def test_predict_in_rows_and_in_columns(ask: Ask) -> None:
    path = "/v1/models/default:predict"
    assert ask(path, {"instances": [1.0, 2, 5.0]}) == (200, {"predictions": [2.5, 3.0, 4.5]})
    assert ask(path, {"instances": [{"x": 1.0}, {"x": 0.2}]}) == (200, {"predictions": [2.5, 2.1]})
    assert ask(path, {"inputs": [1.0, 2.0]}) == (200, {"outputs": [2.5, 3.0]})
    assert ask(path, {"inputs": {"x": [[1.0], [2.0]]}}) == (200, {"outputs": [[2.5], [3.0]]})
    assert ask("/v1/models/tf2:predict", {"signature_name": "serving_default", "instances": [0]})[1] == {"predictions": [2.0]}


def test_classify_and_regress(ask: Ask) -> None:
    two = [{"x": 2.0}, {"x": [0.2]}]
    body = {"signature_name": "classify_x_to_y", "examples": two}
    assert ask("/v1/models/default:classify", body) == (200, {"results": [[["", 3.0]], [["", 2.1]]]})
    body = {"signature_name": "regress_x_to_y", "examples": two}
    assert ask("/v1/models/tf2/versions/123:regress", body) == (200, {"results": [3.0, 2.1]})
    body = {"signature_name": "regress_x_to_y", "context": {"x": 2.0}, "examples": [{}, {"x": 5.0}]}
    assert ask("/v1/models/default:regress", body) == (200, {"results": [3.0, 4.5]})


def test_examples_hold_whole_numbers_numbers_and_bytes() -> None:
    from tensorflow_serving.apis import input_pb2

    from serving.embedded.jsonexamples import fill_examples

    message = input_pb2.Input()
    fill_examples(message, {"examples": [{"a": [1, True], "b": 0.5, "c": ["é", {"b64": "/w=="}], "d": []}]})
    feature = message.example_list.examples[0].features.feature
    assert list(feature["a"].int64_list.value) == [1, 1]
    assert list(feature["b"].float_list.value) == [0.5]
    assert list(feature["c"].bytes_list.value) == ["é".encode(), b"\xff"]
    assert feature["d"].WhichOneof("kind") is None


@pytest.mark.parametrize("where", ["/versions/123", "/versions/124", "/labels/old"])
def test_predict_of_a_version_or_label(ask: Ask, where: str) -> None:
    assert ask(f"/v1/models/default{where}:predict", {"instances": [2.0]}) == (200, {"predictions": [3.0]})


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/v1/models/nope:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(nope)"),
        (
            "/v1/models/default/versions/9:predict",
            {"instances": [1]},
            404,
            "Servable not found for request: Specific(default, 9)",
        ),
        ("/v1/models/default/labels/L:predict", {"instances": [1]}, 400, "Unrecognized servable version label: L"),
        ("/v1/models/default:predict", {}, 400, "Missing 'inputs' or 'instances' key"),
        ("/v1/models/default:predict", {"instances": []}, 400, "No values in 'instances' array"),
        ("/v1/models/default:predict", {"instances": [1], "inputs": [1]}, 400, "expecting only one of"),
        ("/v1/models/default:predict", {"instances": ["a"]}, 400, "is not of expected type: float"),
        ("/v1/models/default:predict", {"instances": [[1], [1, 2]]}, 400, "Failed to process 'x'"),
        ("/v1/models/default:predict", {"instances": [{"y": 1}]}, 400, "keys must be equal to: x"),
        ("/v1/models/default:predict", {"inputs": {"y": 1}}, 400, "Missing named input: x in 'inputs' object."),
        ("/v1/models/default:regress", {"examples": [{"x": {"b64": "é"}}]}, 400, "Unable to base64 decode"),
        ("/v1/models/default:regress", {"examples": [{"x": {"b64": "!"}}]}, 400, "Unable to base64 decode"),
        ("/v1/models/default:predict", {"signature_name": "S", "inputs": 1}, 400, 'Serving signature name: "S" not found in'),
        ("/v1/models/default:classify", {"examples": []}, 400, "'examples' value is an empty array"),
        ("/v1/models/default:classify", {"examples": {}}, 400, "Expecting 'examples' value to be an list/array"),
        ("/v1/models/default:regress", {}, 400, "key 'examples' is expected and was not found"),
        ("/v1/models/default:regress", {"examples": [1]}, 400, "Example must be JSON object but got JSON Number"),
        (
            "/v1/models/default:regress",
            {"examples": [{"x": None}]},
            400,
            "Feature: x has element with unexpected JSON type: Null",
        ),
        ("/v1/models/default:regress", {"examples": [{"x": [1.5, 2]}]}, 400, "in feature: x expecting type: float"),
        (
            "/v1/models/default:regress",
            {"signature_name": "S", "examples": [{"x": 2.0}]},
            400,
            "No signature was found with the name: S",
        ),
        ("/v1/models", {"instances": [1]}, 400, "Malformed request: POST /v1/models"),
    ],
)
def test_errors(ask: Ask, path: str, body: Any, status: int, words: str) -> None:
    found, answer = ask(path, body)
    assert (found, list(answer)) == (status, ["error"])
    assert words in answer["error"]


@pytest.mark.parametrize(
    ("raw", "words"), [(b"", "The document is empty"), (b"{", "JSON Parse error"), (b"[]", "Is not object")]
)
def test_bodies_that_are_no_json_object(ask: Ask, raw: bytes, words: str) -> None:
    status, answer = ask("/v1/models/default:predict", raw=raw)
    assert status == 400
    assert words in answer["error"]


@pytest.fixture
def connection(rest_port: int) -> Iterator[socket.socket]:
    """A connection to the REST port."""
    with socket.create_connection(("127.0.0.1", rest_port), timeout=20) as opened:
        yield opened


PREDICT = b"POST /v1/models/default:predict HTTP/1.1\r\nHost: x\r\n"
ONE_ROW = b'{"instances": [1.0]}'


def answered(connection: socket.socket) -> tuple[int, Any]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read() or b"null")


def test_an_answer_leaves_in_one_piece_and_the_connection_stays(connection: socket.socket) -> None:
    """A second write would wait for the client's delayed acknowledgement, 40 ms with each request."""
    for _ in range(5):
        connection.sendall(PREDICT + b"Content-Length: %d\r\n\r\n" % len(ONE_ROW) + ONE_ROW)
        head, _, body = connection.recv(1 << 16).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        assert json.loads(body) == {"predictions": [2.5]}


def chunked(body: bytes, size: int = 7) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x;name=value\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: x\r\n\r\n"


def length(body: bytes, *more: bytes) -> bytes:
    return b"".join((*(line + b"\r\n" for line in more), b"Content-Length: %d\r\n\r\n" % len(body), body))


@pytest.mark.parametrize(
    "rest",
    [
        b"Transfer-Encoding: chunked\r\n\r\n" + chunked(ONE_ROW),
        length(gzip.compress(ONE_ROW), b"Content-Encoding: gzip"),
        length(zlib.compress(ONE_ROW), b"Content-Encoding: deflate"),
        length(gzip.compress(ONE_ROW[:9]) + gzip.compress(ONE_ROW[9:]), b"Content-Encoding: x-gzip"),
        b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(gzip.compress(ONE_ROW)),
        length(ONE_ROW, b"Expect: 100-continue"),
    ],
    ids=["chunked", "gzip", "deflate", "two gzip members", "chunked gzip", "100-continue"],
)
def test_bodies_come_in_chunks_and_compressed(connection: socket.socket, rest: bytes) -> None:
    for _ in range(2):  # the connection is in step afterwards
        connection.sendall(PREDICT + rest)
        assert answered(connection) == (200, {"predictions": [2.5]})


@pytest.mark.parametrize(
    ("rest", "status", "words"),
    [
        (b"Content-Length: nine\r\n\r\n", 400, "expected one Content-Length, a whole number of bytes; got 'nine'"),
        (b"Content-Length: -1\r\n\r\n", 400, "expected one Content-Length, a whole number of bytes; got '-1'"),
        (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "got '1, 2'"),
        (b"Content-Length: 99\r\n\r\n" + ONE_ROW, 400, "expected 99 bytes of body, the connection ended 79 bytes before"),
        (b"Content-Length: 9999999999\r\n\r\n", 413, "the body has 9999999999 bytes, at most 1073741824 are taken"),
        (b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "expected a chunk's size in hexadecimal, got b'xyz'"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400, "a chunk is longer than its size says"),
        (b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", 400, "the chunks end without the last one, of size 0"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400, "Content-Length or Transfer-Encoding, got both"),
        (b"Transfer-Encoding: br\r\n\r\n", 501, "Transfer-Encoding 'br' is not known here; expected chunked"),
        (
            length(ONE_ROW, b"Content-Encoding: br"),
            415,
            "Content-Encoding 'br' is not known here; expected gzip, deflate or none",
        ),
        (length(ONE_ROW, b"Content-Encoding: gzip"), 400, "the body is no gzip: "),
        (
            length(gzip.compress(ONE_ROW)[:-9], b"Content-Encoding: gzip"),
            400,
            "the body is cut off: its gzip stream has no end",
        ),
    ],
    ids=[
        *("no number", "negative", "two lengths", "too long", "too large", "no size", "longer chunk", "no last chunk"),
        *("both", "unknown transfer", "unknown encoding", "no gzip", "half a gzip"),
    ],
)
def test_bodies_that_are_not_as_their_headers_say_are_answered(
    connection: socket.socket, rest: bytes, status: int, words: str
) -> None:
    connection.sendall(PREDICT + rest)
    connection.shutdown(socket.SHUT_WR)
    found, answer = answered(connection)
    assert found == status
    assert words in answer["error"]
    assert connection.recv(1) == b""  # what follows cannot be read as a request


def test_a_line_that_is_no_request_is_answered_in_json(connection: socket.socket) -> None:
    connection.sendall(b"no request at all\r\n\r\n")
    assert b'{"error": "Bad request' in connection.recv(1 << 16)


@pytest.mark.parametrize(
    ("request_line", "origin", "status", "body"),
    [
        (b"OPTIONS /v1/models/default:predict", b"https://clinic.example", 200, None),
        (b"OPTIONS /v1/models/default:predict", b"", 400, {"error": "Origin header is missing in CORS preflight"}),
        (b"PUT /v1/models/default", b"", 400, {"error": "Malformed request: PUT /v1/models/default"}),
        (b"GET /elsewhere", b"", 404, {"error": "nothing is at /elsewhere; the API is under /v1/models/"}),
    ],
    ids=["preflight", "no origin", "other method", "other path"],
)
def test_other_methods_and_paths(connection: socket.socket, request_line: bytes, origin: bytes, status: int, body: Any) -> None:
    connection.sendall(request_line + b" HTTP/1.1\r\nHost: x\r\nOrigin: " + origin + b"\r\n\r\n")
    response = http.client.HTTPResponse(connection)
    response.begin()
    assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (status, "*")
    assert json.loads(response.read() or b"null") == body


def test_metadata_is_what_the_real_server_says(ask: Ask, shared_data: Path) -> None:
    recorded = json.loads((shared_data / "tfserving" / "saved_model_half_plus_two_2_versions_metadata.json").read_text())
    status, found = ask(f"/v1/models/default/versions/{recorded['model_spec']['version']}/metadata")
    for answer in (found, recorded):
        for signature in answer["metadata"]["signature_def"]["signature_def"].values():
            signature.pop("defaults", None)  # of a field that is younger than part of the recording
    recorded["model_spec"]["name"] = "default"  # the folder's in the recording
    assert (status, found) == (200, recorded)


def test_status(ask: Ask) -> None:
    fine = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    both = [{"version": "124", **fine}, {"version": "123", **fine}]
    assert ask("/v1/models/default") == (200, {"model_version_status": both})
    assert ask("/v1/models/default/versions/123") == (200, {"model_version_status": both[1:]})
    assert ask("/v1/models/nope") == (404, {"error": "Could not find any versions of model nope"})


def test_the_prometheus_page_counts_predicts(ask: Ask) -> None:
    ask("/v1/models/three:predict", {"instances": [1.0]})
    ask("/v1/models/three:predict", {"instances": ["a"]})
    ask("/v1/models/nope:predict", {"instances": [1.0]})
    status, page = ask("/monitoring/prometheus/metrics")
    lines = page.splitlines()
    assert status == 200
    assert ':tensorflow:serving:request_count{model_name="three",status="OK"} 1' in lines
    assert ':tensorflow:serving:request_count{model_name="three",status="INVALID_ARGUMENT"} 1' in lines
    labels = 'model_name="three",API="predict",entrypoint="REST"'
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 2" in lines
    assert f':tensorflow:serving:request_latency_bucket{{{labels},le="+Inf"}} 2' in lines
    assert "nope" not in page


def test_strings_and_bytes(embedded: Any, tmp_path: Path) -> None:
    port = free_port()
    export_tiny_model(tmp_path / "m", 1)
    embedded(model_name="m", model_base_path=str(tmp_path / "m"), rest_api_port=port)
    body = json.dumps({"signature_name": "describe", "inputs": [{"b64": "/w=="}]}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/m:predict", data=body, timeout=20) as response:
        (spec,) = json.load(response)["outputs"]
    assert json.loads(spec)["name"] == "tiny"


def test_bytes_travel_in_base64() -> None:
    from tensorflow.core.protobuf import meta_graph_pb2

    from serving.embedded.jsontensor import read_inputs, write_outputs

    infos = {"image_bytes": meta_graph_pb2.TensorInfo(dtype=tf.string.as_datatype_enum)}
    rows = [{"b64": "/w=="}, {"b64": "YQ=="}]
    arrays, in_rows = read_inputs({"instances": rows}, infos)
    assert (arrays["image_bytes"].tolist(), in_rows) == ([b"\xff", b"a"], True)
    assert write_outputs(arrays, in_rows=True) == {"predictions": rows}
