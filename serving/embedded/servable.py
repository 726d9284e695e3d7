"""One loaded SavedModel: a TF1 session over its `serve` graph, as TensorFlow Serving runs it (TF1 and TF2 SavedModels alike).

`tf.saved_model.load` (2.21) cannot load every TF1 model and words errors otherwise. A graph that only reads its variables is
frozen to constants: on a 2-core machine MobileNetV2 at 224 then costs 10.0 ms of CPU per image instead of 13.5, and 16.8 with
TensorFlow's default threads. Each run stays on the thread that asks for it: one request per core, not all cores per request.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from tensorflow.core.protobuf import config_pb2

from core.telemetry.logs import get_logger
from serving.embedded.freezing import freeze
from serving.embedded.status import StatusError, not_found
from serving.embedded.tensorflow_runtime import tf

_log = get_logger(__name__)

Array = npt.NDArray[Any]
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_PYTHON_PREFIX = "Graph execution error:\n\n"  # put before the runtime's own words by TensorFlow's Python side


@dataclass(frozen=True)
class Threads:
    """How a session computes. On a GPU the defaults of TensorFlow serve better than these."""

    intra_op: int = 1
    inter_op: int = -1  # -1: on the caller's thread


class SavedModelServable:
    """A SavedModel, ready to run. Thread-safe."""

    def __init__(self, session: Any, signatures: Mapping[str, Any], *, frozen: bool) -> None:
        """Use `load_servable`.

        Args:
            session: tf.compat.v1.Session with variables restored and the graph complete.
            signatures: tensorflow.SignatureDef by name.
            frozen: whether its variables became constants.
        """
        self.signatures = signatures
        self.checks_method_names = False  # whether a call must be of the kind that its signature's method_name says
        self.frozen = frozen
        self._session = session
        self._callables: dict[tuple[tuple[str, ...], tuple[str, ...]], Callable[..., list[Array]]] = {}
        self._lock = threading.Lock()

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        """Compute tensors of the graph.

        Args:
            feeds: array by tensor name.
            fetches: tensor names.

        Returns:
            One array per fetch.

        Raises:
            StatusError: whatever TensorFlow says, in its words.
        """
        names = tuple(feeds)
        try:
            found = self._callable(names, tuple(fetches))(*feeds.values())
        except tf.errors.OpError as error:
            raise _status(error) from error
        return [np.array(each, dtype=object) if isinstance(each, bytes) else np.asarray(each) for each in found]

    def close(self) -> None:
        """Free the session. No run may be under way."""
        self._callables.clear()
        self._session.close()

    def _callable(self, feeds: tuple[str, ...], fetches: tuple[str, ...]) -> Callable[..., list[Array]]:
        with self._lock:
            known = self._callables.get((feeds, fetches))
            if known is None:
                # The public run() refuses arrays of other ranks than declared; TensorFlow Serving leaves that to the operators.
                known = self._session._make_callable_from_options(_callable_options(feeds, fetches))
                self._callables[feeds, fetches] = known
            return known


def load_servable(
    path: Path, threads: Threads | None = None, *, tags: Sequence[str] = ("serve",), check_method_names: bool = False
) -> SavedModelServable:
    """Load a graph of a SavedModel.

    Args:
        path: a version's folder.
        threads: how its session computes.
        tags: which of its graphs.
        check_method_names: as `--enable_signature_method_name_check`.

    Raises:
        StatusError: it cannot be loaded.
    """
    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise not_found(
            f"Could not find SavedModel .pb or .pbtxt at supplied export directory path: {path}. "
            "Check that the directory exists and that you have the right permissions for accessing it."
        )
    config = _session_config(threads or Threads())
    session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
    try:
        with session.graph.as_default():
            meta_graph = tf.compat.v1.saved_model.loader.load(session, list(tags), str(path))
        signatures = dict(meta_graph.signature_def)
        servable = _frozen(session, signatures, config, path)
    except tf.errors.OpError as error:
        session.close()
        raise _status(error) from error
    except Exception as error:  # whatever a damaged file makes TensorFlow's Python side raise
        session.close()
        raise StatusError(grpc.StatusCode.UNKNOWN, f"{path}: {type(error).__name__}: {error}") from error
    servable.checks_method_names = check_method_names
    return servable


def _frozen(session: Any, signatures: dict[str, Any], config: Any, path: Path) -> SavedModelServable:
    graph_def = None
    try:
        graph_def = freeze(session, _endpoints(signatures))
    except Exception as error:  # noqa: BLE001 - TensorFlow's converter documents no types; the model is served unfrozen
        _log.warning("served with variables, it cannot be frozen", path=str(path), error=str(error))
    if graph_def is None:
        return SavedModelServable(session, signatures, frozen=False)
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(graph_def, name="")
    session.close()
    return SavedModelServable(tf.compat.v1.Session(graph=graph, config=config), signatures, frozen=True)


def _endpoints(signatures: dict[str, Any]) -> set[str]:
    runnable = [signature for signature in signatures.values() if signature.method_name]
    infos = [info for each in runnable for info in (*each.inputs.values(), *each.outputs.values())]
    return {info.name.split(":")[0] for info in infos if info.HasField("name")}


def _session_config(threads: Threads) -> Any:
    return tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=threads.intra_op,
        inter_op_parallelism_threads=threads.inter_op,
        allow_soft_placement=True,
    )


def _callable_options(feeds: Sequence[str], fetches: Sequence[str]) -> Any:
    return config_pb2.CallableOptions(feed=feeds, fetch=fetches)


def _status(error: Any) -> StatusError:
    code = _CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)
    return StatusError(code, error.message.removeprefix(_PYTHON_PREFIX))
