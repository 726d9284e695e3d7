"""Classify, Regress and MultiInference: tensorflow.Example in, classes and values out.

Each step and its message as in TensorFlow Serving's classifier.cc, regressor.cc, multi_inference.cc and util.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import classification_pb2, inference_pb2, model_pb2, regression_pb2

from serving.embedded.predict import Array, Call, Run
from serving.embedded.servable import SavedModelServable
from serving.embedded.servercore import Served, ServerCore
from serving.embedded.status import StatusError, invalid_argument
from serving.embedded.tensorflow_runtime import tf
from serving.protos import tensor_pb2
from serving.tensors import dtype_name

_INPUTS = "inputs"
_CLASSES, _SCORES = "classes", "scores"
_OUTPUTS = "outputs"

Arrays = Mapping[str, Array]  # by tensor name


@dataclass(frozen=True)
class _Task:
    """One kind of inference."""

    word: str
    method_name: str
    fetches: Callable[[Any], list[str]]  # signature → tensor names; refuses signatures of another kind
    fill: Callable[[Any, Any, int, Arrays], None]  # result, signature, count of examples, outputs


def classify(core: ServerCore, request: Any, run: Run) -> Any:
    """ClassificationRequest → ClassificationResponse.

    Args:
        core: finds the servable.
        request: tensorflow.serving.ClassificationRequest.
        run: computes; decides who may when.

    Raises:
        StatusError: in TensorFlow Serving's words.
    """
    return _one(core, request, run, CLASSIFY, classification_pb2.ClassificationResponse())


def regress(core: ServerCore, request: Any, run: Run) -> Any:
    """RegressionRequest → RegressionResponse; otherwise as `classify`."""
    return _one(core, request, run, REGRESS, regression_pb2.RegressionResponse())


def multi_inference(core: ServerCore, request: Any, run: Run) -> Any:
    """MultiInferenceRequest → MultiInferenceResponse: several signatures of one model in one run; otherwise as `classify`."""
    spec = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
    response = inference_pb2.MultiInferenceResponse()
    with core.use(spec) as served:
        call, tasks = _prepare_all(served.servable, request)
        arrays, count = _run(served, call, run)
    for task, name, signature in tasks:
        result = response.results.add()
        task.fill(getattr(result, f"{task.word}_result"), signature, count, arrays)
        _fill_spec(result.model_spec, served, name)
    return response


def prepare_inference(servable: SavedModelServable, request: Any) -> Call:
    """Check and decode a request of the three kinds; which model it names does not matter here. For warm-up.

    Raises:
        StatusError: in TensorFlow Serving's words.
    """
    if isinstance(request, inference_pb2.MultiInferenceRequest):
        return _prepare_all(servable, request)[0]
    task = CLASSIFY if isinstance(request, classification_pb2.ClassificationRequest) else REGRESS
    return _prepare(servable, _signature_name(request.model_spec), request.input, task)[0]


def _one(core: ServerCore, request: Any, run: Run, task: _Task, response: Any) -> Any:
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    name = _signature_name(request.model_spec)
    with core.use(request.model_spec) as served:
        call, signature = _prepare(served.servable, name, request.input, task)
        arrays, count = _run(served, call, run)
    task.fill(response.result, signature, count, arrays)
    _fill_spec(response.model_spec, served, name)
    return response


def _run(served: Served, call: Call, run: Run) -> tuple[Arrays, int]:
    """The outputs by tensor name, and how many examples there were."""
    outputs = dict(zip(call.fetches, run(served, call), strict=True))
    return outputs, len(next(iter(call.feeds.values())))


def _prepare(servable: SavedModelServable, name: str, examples: Any, task: _Task) -> tuple[Call, Any]:
    signature = servable.signatures.get(name)
    if signature is None:
        raise invalid_argument(f"No signature was found with the name: {name}")
    fetches = _fetches(servable, signature, task)
    return Call(name, _feeds([signature.inputs[_INPUTS]], examples), fetches, fetches), signature


def _prepare_all(servable: SavedModelServable, request: Any) -> tuple[Call, list[tuple[_Task, str, Any]]]:
    tasks = _checked_tasks(servable, request.tasks)
    fetches = sorted({name for task, _, signature in tasks for name in task.fetches(signature)})
    feeds = _feeds([signature.inputs[_INPUTS] for _, _, signature in tasks], request.input)
    return Call(",".join(name for _, name, _ in tasks), feeds, fetches, fetches), tasks


def _checked_tasks(servable: SavedModelServable, tasks: Sequence[Any]) -> list[tuple[_Task, str, Any]]:
    """(kind, signature's name, signature) of each task."""
    checked: list[tuple[_Task, str, Any]] = []
    for each in tasks:
        if not each.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if each.model_spec.name != tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = _signature_name(each.model_spec)
        if any(name == known for _, known, _ in checked):
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        signature = servable.signatures.get(name)
        if signature is None:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        task = next((known for known in (CLASSIFY, REGRESS) if known.method_name == each.method_name), None)
        if task is None:
            raise StatusError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {each.method_name}")
        _fetches(servable, signature, task)
        checked.append((task, name, signature))
    return checked


def _fetches(servable: SavedModelServable, signature: Any, task: _Task) -> list[str]:
    """The tensor names of a signature that fits a task."""
    if servable.checks_method_names and signature.method_name != task.method_name:
        raise invalid_argument(
            f"Expected {task.word} signature method_name to be {task.method_name}. Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    return task.fetches(signature)


def _check_input(signature: Any, word: str) -> None:
    if _INPUTS not in signature.inputs:
        raise invalid_argument(f"No {word} inputs found in SignatureDef: {signature}")


def _classify_fetches(signature: Any) -> list[str]:
    if len(signature.outputs) not in {1, 2}:
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    _check_input(signature, "classification")
    names = [signature.outputs[alias].name for alias in (_CLASSES, _SCORES) if alias in signature.outputs]
    if not names:
        raise invalid_argument(
            f'Expected classification signature outputs to contain at least one of "{_CLASSES}" or "{_SCORES}". '
            f"Signature was: {signature}"
        )
    return names


def _regress_fetches(signature: Any) -> list[str]:
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    _check_input(signature, "regression")
    if _OUTPUTS not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature}")
    return [signature.outputs[_OUTPUTS].name]


def _feeds(infos: Sequence[Any], examples: Any) -> dict[str, Array]:
    """The same serialized Examples for each input, by tensor name."""
    dtypes = {info.name: info.dtype for info in infos}
    serialized = _serialized(examples)
    for index, name in enumerate(sorted(dtypes)):
        if dtypes[name] != tensor_pb2.DT_STRING:
            raise invalid_argument(f"Expects arg[{index}] to be {dtype_name(dtypes[name])} but string is provided")
    return dict.fromkeys(sorted(dtypes), serialized)


def _serialized(examples: Any) -> Array:
    """The serialized Examples of an Input: object [examples], each of bytes. A context comes before each of them."""
    kind = examples.WhichOneof("kind")
    listed = getattr(examples, kind).examples if kind else ()
    if not listed:
        raise invalid_argument("Input is empty.")
    context = examples.example_list_with_context.context.SerializeToString() if kind == "example_list_with_context" else b""
    found = np.empty(len(listed), dtype=object)
    found[:] = [context + each.SerializeToString() for each in listed]
    return found


def _fill_classifications(result: Any, signature: Any, count: int, arrays: Arrays) -> None:
    columns: dict[str, Array] = {}
    for alias, dtype in ((_CLASSES, tf.string), (_SCORES, tf.float32)):
        if alias in signature.outputs:
            columns[alias] = arrays[signature.outputs[alias].name]
            _check_column(alias, columns[alias], dtype, count)
    widths = [array.shape[1] for array in columns.values()]
    if len(set(widths)) > 1:
        raise invalid_argument(f"Tensors class and score should match in dim_size(1). Got {widths[0]} vs. {widths[1]}")
    for row in range(count):
        classifications = result.classifications.add()
        for column in range(widths[0]):
            found = classifications.classes.add()
            if _CLASSES in columns:
                found.label = columns[_CLASSES][row, column].decode("utf-8", "replace")
            if _SCORES in columns:
                found.score = columns[_SCORES][row, column]


def _check_column(alias: str, array: Array, dtype: Any, count: int) -> None:
    if array.ndim != 2:
        raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    if tf.as_dtype(array.dtype) != dtype:
        raise invalid_argument(f"Expected {alias} Tensor of {_dtype_name(dtype)}. Got: {_dtype_name(array.dtype)}")
    if len(array) != count:
        raise invalid_argument(f"Expected {alias} output batch size of {count}. Got: {len(array)}")


def _fill_regressions(result: Any, signature: Any, count: int, arrays: Arrays) -> None:
    values = arrays[signature.outputs[_OUTPUTS].name]
    if values.ndim != 1 and (values.ndim != 2 or values.shape[1] != 1):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(values)}"
        )
    if len(values) != count:
        raise invalid_argument(f"Input batch size did not match output batch size: {count} vs. {len(values)}")
    if values.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {_dtype_name(values.dtype)}")
    for value in values.ravel():
        result.regressions.add().value = value


def _signature_name(spec: Any) -> str:
    return spec.signature_name or "serving_default"


def _fill_spec(spec: Any, served: Served, signature: str) -> None:
    spec.name = served.name
    spec.version.value = served.version
    spec.signature_name = signature


def _shape(array: Array) -> str:
    return f"[{','.join(str(size) for size in array.shape)}]"


def _dtype_name(dtype: Any) -> str:
    return f"DT_{tf.as_dtype(dtype).name.upper()}".replace("FLOAT32", "FLOAT").replace("FLOAT64", "DOUBLE")


CLASSIFY = _Task("classification", "tensorflow/serving/classify", _classify_fetches, _fill_classifications)
REGRESS = _Task("regression", "tensorflow/serving/regress", _regress_fetches, _fill_regressions)
