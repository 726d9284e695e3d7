"""Variables → constants, where nothing can change them: the same answers for less computation."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from tensorflow.python.framework import convert_to_constants, op_def_registry

from serving.embedded.tensorflow_runtime import tf

# Operators that TensorFlow counts as stateful, but that leave nothing behind for the next run.
_HARMLESS = frozenset(
    {"Assert", "If", "PartitionedCall", "Print", "PrintV2", "ReadVariableOp", "ResourceGather", "ResourceGatherNd"}
    | {"StatefulPartitionedCall", "VarHandleOp", "Variable", "VariableV2", "While"}
)


def freeze(session: Any, keep: Collection[str]) -> Any | None:
    """The part of a session's graph that computes some nodes, with its variables as constants.

    Args:
        session: a tf.compat.v1.Session whose variables are restored.
        keep: names of the nodes that will be fed or fetched.

    Returns:
        A tensorflow.GraphDef, or None where the nodes change state (a counter) or read another kind of it (a lookup table).
    """
    graph_def = session.graph.as_graph_def()
    needed = tf.compat.v1.graph_util.extract_sub_graph(graph_def, sorted(keep))
    if any(_keeps_state(node.op) for node in _all_nodes(needed)):
        return None
    return convert_to_constants.convert_variables_to_constants_from_session_graph(session, graph_def, sorted(keep))


def _keeps_state(op: str) -> bool:
    definition = op_def_registry.get(op)
    if definition is None or op in _HARMLESS:  # None: the name of a function, whose own nodes are looked at
        return False
    return bool(definition.is_stateful) or any(argument.is_ref for argument in definition.input_arg)


def _all_nodes(graph_def: Any) -> Iterator[Any]:
    """The nodes of a graph and of the functions it calls, directly or not."""
    functions = {function.signature.name: function for function in graph_def.library.function}
    seen: set[str] = set()
    waiting = list(graph_def.node)
    while waiting:
        node = waiting.pop()
        yield node
        for name in {node.op, *_called(node)} & functions.keys() - seen:
            seen.add(name)
            waiting.extend(functions[name].node_def)


def _called(node: Any) -> Iterator[str]:
    for attribute in node.attr.values():
        if attribute.HasField("func"):
            yield attribute.func.name
        yield from (function.name for function in attribute.list.func)
