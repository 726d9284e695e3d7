"""Changes the graph of a frozen function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tensorflow.python.eager.wrap_function import function_from_graph_def

# Changes a GraphDef in place and returns how many changes it made. It is given the frozen function for shapes and outputs.
Pass = Callable[[Any, Any], int]


def rewritten(frozen: Any, *passes: Pass) -> Any:
    """The function with its graph changed by each pass in turn; the same one if nothing changed.

    Args:
        frozen: a concrete function of one tensor without variables.
        passes: the changes. Inputs and outputs keep their names.
    """
    graph = frozen.graph.as_graph_def()
    if not sum([each(graph, frozen) for each in passes]):
        return frozen
    return function_from_graph_def(graph, [each.name for each in frozen.inputs], [each.name for each in frozen.outputs])
