"""A PredictRequest → a PredictResponse, step by step as `predict_util.cc` and TensorFlow's `saved_model/util.cc` do it.

Signature, then count of inputs, then inputs, then outputs asked for: the first thing wrong is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy.typing as npt
from tensorflow_serving.apis import predict_pb2

from serving.embedded.caller import Caller
from serving.embedded.servable import SavedModelServable
from serving.embedded.servercore import Served, ServerCore
from serving.embedded.status import StatusError, failed_precondition, invalid_argument
from serving.embedded.tensorflow_runtime import tf
from serving.protos import tensor_pb2
from serving.tensors import ExpansionError, TensorError, can_read, check_expansion, dtype_name, fill_tensor, to_array

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Call:
    """A request, checked and decoded."""

    signature: str  # resolved
    feeds: Mapping[str, Array]  # by tensor name, in the order of the aliases
    aliases: Sequence[str]  # of the outputs wanted
    fetches: Sequence[str]  # their tensor names


Run = Callable[[Served, Call], list[Array]]
Runner = Callable[[Served, Call, Caller], list[Array]]

_HANDLES = frozenset({tensor_pb2.DT_RESOURCE, tensor_pb2.DT_VARIANT})
_METHODS = ("tensorflow/serving/predict", "tensorflow/serving/classify", "tensorflow/serving/regress")


def predict(core: ServerCore, request: Any, run: Run, *, as_content: bool = False) -> Any:
    """Answer one Predict.

    Args:
        core: finds the servable.
        request: tensorflow.serving.PredictRequest.
        run: computes; decides who may when.
        as_content: answer in tensor_content instead of the *_val fields.

    Returns:
        tensorflow.serving.PredictResponse.

    Raises:
        StatusError: in TensorFlow Serving's words.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    response = predict_pb2.PredictResponse()
    with core.use(request.model_spec) as served:
        call = prepare(served.servable, request)
        arrays = run(served, call)
    response.model_spec.name = served.name
    response.model_spec.version.value = served.version
    response.model_spec.signature_name = call.signature
    for alias, array in zip(call.aliases, arrays, strict=True):
        _fill(response.outputs[alias], array, as_content)
    return response


def prepare(servable: SavedModelServable, request: Any) -> Call:
    """Check a PredictRequest against its signature, and decode it; which model it names does not matter here.

    Raises:
        StatusError: in TensorFlow Serving's words.
    """
    name = request.model_spec.signature_name or "serving_default"
    signature = _signature(servable, name)
    feeds = _feeds(signature, request.inputs)
    aliases = _output_aliases(signature, request.output_filter)
    return Call(name, feeds, aliases, [signature.outputs[alias].name for alias in aliases])


def _signature(servable: SavedModelServable, name: str) -> Any:
    signature = servable.signatures.get(name)
    if signature is None:
        raise failed_precondition(f'Serving signature key "{name}" not found.')
    if servable.checks_method_names and signature.method_name not in _METHODS:
        expected = ", ".join(_METHODS)
        raise StatusError(
            grpc.StatusCode.INTERNAL,
            f"Expected prediction signature method_name to be one of {{{expected}}}. Was: {signature.method_name}",
        )
    return signature


def _feeds(signature: Any, inputs: Mapping[str, Any]) -> dict[str, Array]:
    """Arrays by tensor name, in the order of the aliases."""
    sent, declared, defaults = set(inputs), set(signature.inputs), set(signature.defaults)
    if len(sent) > len(declared) or (len(sent) < len(declared) and not defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(declared)} "
            f"len({_names(sent)}) != len({_names(declared)}). "
            f"Sent extra: {_names(sent - declared)}. Missing but required: {_names(declared - sent)}."
        )
    feeds = {}
    for alias in sorted(declared):
        info = signature.inputs[alias]
        if alias not in sent | defaults:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {info.name}) not found in request and no default value provided. "
                f"Inputs expected to be in the request {_names(sent)}, or default input alias set: {','.join(sorted(defaults))}"
            )
        feeds[info.name] = _array(alias, inputs[alias] if alias in sent else signature.defaults[alias])
    if not sent <= declared:
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {','.join(sorted(sent & declared))}, "
            f"request input: {','.join(sorted(sent))}"
        )
    _check_dtypes(signature, inputs)
    return feeds


def _array(alias: str, proto: Any) -> Array:
    try:
        return to_array(proto) if can_read(proto.dtype) else _foreign_array(proto)
    except ExpansionError as error:
        raise invalid_argument(f"tensor parsing error: {alias}: {error}") from error
    except (TensorError, TypeError, ValueError, OverflowError) as error:
        raise invalid_argument(f"tensor parsing error: {alias}") from error


def _foreign_array(proto: Any) -> Array:
    """A tensor of a dtype that only TensorFlow knows (bfloat16, the quantized ones)."""
    check_expansion(proto, itemsize=4)
    if proto.dtype in _HANDLES:
        raise TensorError(f"a {dtype_name(proto.dtype)} tensor lives in one process, it cannot be sent")
    array: Array = tf.make_ndarray(proto)
    return array


def _check_dtypes(signature: Any, inputs: Mapping[str, Any]) -> None:
    for index, alias in enumerate(sorted(signature.inputs)):
        expected = signature.inputs[alias].dtype
        if alias in inputs and inputs[alias].dtype != expected:
            raise invalid_argument(
                f"Expects arg[{index}] to be {dtype_name(expected)} but {dtype_name(inputs[alias].dtype)} is provided"
            )


def _output_aliases(signature: Any, wanted: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    for alias in wanted:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {_names(signature.outputs)}."
            )
        if alias in seen:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        seen.add(alias)
    return sorted(seen or signature.outputs)


def _fill(proto: Any, array: Array, as_content: bool) -> None:
    try:
        fill_tensor(proto, array, as_content=as_content)
    except TensorError:  # bfloat16 and the like, which only TensorFlow knows
        proto.CopyFrom(tf.make_tensor_proto(array))


def _names(aliases: Any) -> str:
    return f"{{{','.join(sorted(aliases))}}}"
