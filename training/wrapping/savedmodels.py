"""SavedModels of others: of Keras (`model.export`), of `tf.saved_model.save`, and of TensorFlow 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError  # type: ignore[import-untyped, unused-ignore]
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_from_session_graph

from core.errors import InvalidRequestError
from core.modelspec import DESCRIBE_SIGNATURE
from serving.repository import SAVED_MODEL, check_saved_model
from training.wrapping.foreign import Foreign, choose_one

# Operators that run Python, read or write files: refused before anything of the graph runs, its initialisers included.
_REFUSED = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile"})
_INTERNAL = "__saved_model_init_op"


def open_saved_model(path: Path, signature: str | None, output_name: str | None) -> Foreign:
    """Open it; raises InvalidRequestError as `open_foreign`."""
    check_saved_model(path)
    graph = _read_graph(path)
    chosen = _choose_signature(graph, signature)
    inputs = dict(graph.signature_def[chosen].inputs)
    if len(inputs) != 1:
        raise InvalidRequestError(f"{path}: expected a model of one input, the image, got {sorted(inputs)}: export one without")
    ((alias, info),) = inputs.items()
    output = choose_one(sorted(graph.signature_def[chosen].outputs), output_name, what="outputs", option="--output-name")
    opening = _open_objects if graph.HasField("object_graph_def") else _open_session
    try:
        call, owner = opening(path, graph, chosen, alias, output)
    except (tf.errors.OpError, ValueError, OSError, KeyError) as error:
        raise InvalidRequestError(f"{path}: TensorFlow {tf.__version__} cannot load it: {_first_line(error)}") from error
    shape = (None,) * 4 if info.tensor_shape.unknown_rank else tuple(side.size for side in info.tensor_shape.dim)
    return Foreign(
        kind="SavedModel",
        call=call,
        input_name=alias,
        input_dtype=tf.as_dtype(info.dtype),
        input_shape=tuple(None if side == -1 else side for side in shape),
        output_name=output,
        owner=owner,
    )


def _open_objects(path: Path, graph: Any, signature: str, alias: str, output: str) -> tuple[Callable[[Any], Any], Any]:
    """Of TensorFlow 2."""
    loaded = tf.saved_model.load(str(path), tags=list(graph.meta_info_def.tags))
    function = loaded.signatures[signature]
    return (lambda images: function(**{alias: images})[output]), loaded


def _open_session(path: Path, graph: Any, signature: str, alias: str, output: str) -> tuple[Callable[[Any], Any], Any]:
    """Of TensorFlow 1: a session restores it; its variables, which TensorFlow 2 does not know, become constants."""
    wanted = graph.signature_def[signature]
    feed, fetch = wanted.inputs[alias].name, wanted.outputs[output].name
    with tf.Graph().as_default() as restored, tf.compat.v1.Session(graph=restored) as session:
        tf.compat.v1.saved_model.load(session, list(graph.meta_info_def.tags), str(path))
        frozen = convert_variables_to_constants_from_session_graph(session, restored.as_graph_def(), [fetch.partition(":")[0]])
    imported = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(frozen, name=""), [])
    return imported.prune(feed, fetch), imported


def _choose_signature(graph: Any, wanted: str | None) -> str:
    names = [name for name in graph.signature_def if name != _INTERNAL]
    if DESCRIBE_SIGNATURE in names:
        raise InvalidRequestError(
            "this SavedModel has a `describe` signature: it is one of DermQ's own; `dermq models add NAME PATH` takes it"
        )
    if wanted is None and "serving_default" in names:
        return "serving_default"
    return choose_one(names, wanted, what="signatures", option="--signature")


def _read_graph(path: Path) -> Any:
    """The graph that serves, as written; refuses operators that run Python, read or write files."""
    try:
        saved = saved_model_pb2.SavedModel.FromString((path / SAVED_MODEL).read_bytes())
    except DecodeError as error:
        raise InvalidRequestError(
            f"{path / SAVED_MODEL}: expected a SavedModel, and its bytes are none; copy it again"
        ) from error
    graphs = list(saved.meta_graphs)
    serving = [graph for graph in graphs if "serve" in graph.meta_info_def.tags] or graphs
    if not serving:
        raise InvalidRequestError(f"{path}: the SavedModel holds no graph; export it again")
    graph, definition = serving[0], serving[0].graph_def
    bodies = [node.op for each in definition.library.function for node in each.node_def]
    if found := sorted(_REFUSED & {*(node.op for node in definition.node), *bodies}):
        raise InvalidRequestError(
            f"{path}: its graph has {found}, which runs Python or reaches beyond the model: export it without"
        )
    return graph


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
