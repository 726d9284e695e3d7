"""What a served model must look like, checked on this side of the wire (core.modelspec states the contract)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from core.errors import ModelContractError
from core.modelspec import (
    DESCRIBE_OUTPUT_ALIAS,
    EXPLAIN_OUTPUT_ALIAS,
    EXPLAIN_SIGNATURE,
    INPUT_ALIAS,
    NOVELTY_ALIAS,
    OUTPUT_ALIAS,
    ModelSpec,
)
from serving.protos import tensor_pb2
from serving.protos.metadata_pb2 import SignatureDef, TensorInfo
from serving.protos.predict_pb2 import PredictResponse
from serving.tensors import TensorError, dtype_name, to_array

_ROUNDING = 1e-5  # how far float32 softmax may stray over 1


def check_signatures(signatures: Mapping[str, SignatureDef], spec: ModelSpec, what: str) -> None:
    """Compare `serving_default`, and `explain` where there is to be one, with what the model says of itself.

    Args:
        signatures: by name, as GetModelMetadata has them.
        spec: what `describe` answered.
        what: the call in words, for the message.

    Raises:
        ModelContractError: not `images` uint8 [?, height, width, 3] → `probabilities` float32 [?, classes], and `novelty`
            float32 [?] where the model says that it has it; or not the same → `maps` float32 [?, h, w, classes] where it says
            that it explains. An output that it does not speak of may be there.
    """
    classes = len(spec.classes)
    expected = {OUTPUT_ALIAS: (-1, classes), **({NOVELTY_ALIAS: (-1,)} if spec.novelty else {})}
    _check_signature(signatures, "serving_default", spec, expected, what)
    if spec.explain:
        maps = {EXPLAIN_OUTPUT_ALIAS: (-1, spec.explain.height, spec.explain.width, classes)}
        _check_signature(signatures, EXPLAIN_SIGNATURE, spec, maps, what)


def _check_signature(
    signatures: Mapping[str, SignatureDef], name: str, spec: ModelSpec, outputs: Mapping[str, tuple[int, ...]], what: str
) -> None:
    signature = signatures.get(name)
    if signature is None:
        raise ModelContractError(f"{what}: expected a signature {name!r}, got {sorted(signatures)}")
    if set(signature.inputs) != {INPUT_ALIAS}:
        raise ModelContractError(f"{what}: expected {name}'s inputs to be [{INPUT_ALIAS!r}], got {sorted(signature.inputs)}")
    expected_shape = (-1, spec.input_height, spec.input_width, 3)
    _check_tensor(signature.inputs[INPUT_ALIAS], INPUT_ALIAS, tensor_pb2.DT_UINT8, expected_shape, what)
    for alias, shape in outputs.items():
        if alias not in signature.outputs:
            raise ModelContractError(f"{what}: expected an output {alias!r}, got {sorted(signature.outputs)}")
        _check_tensor(signature.outputs[alias], alias, tensor_pb2.DT_FLOAT, shape, what)


def check_probabilities(
    values: npt.NDArray[Any], batch: int, classes: int | None, what: str, *, row_by_row: bool = False
) -> npt.NDArray[np.float32]:
    """The reply of one batch, or an error that says what is wrong with it.

    Args:
        values: as decoded.
        batch: images sent.
        classes: probabilities per image; None takes what comes.
        what: the call in words, for the message.
        row_by_row: values that are no probabilities spoil their own row only: all of it is NaN then.

    Returns:
        float32 [batch, classes], finite, in [0, 1]; with `row_by_row` a row may be NaN as a whole.

    Raises:
        ModelContractError: it is anything else.
    """
    width = "classes" if classes is None else classes
    if values.dtype != np.float32 or values.ndim != 2 or len(values) != batch or (classes and values.shape[1] != classes):
        raise ModelContractError(
            f"{what}: expected probabilities float32 [{batch}, {width}], got {values.dtype} {list(values.shape)}"
        )
    lowest, highest = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)  # NaN if any is NaN
    clipped: npt.NDArray[np.float32] = np.clip(values, 0.0, 1.0)
    if not (lowest >= -_ROUNDING and highest <= 1 + _ROUNDING):
        if not row_by_row:
            raise ModelContractError(f"{what}: expected probabilities in [0, 1], got values from {lowest:g} to {highest:g}")
        fine = ((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all(axis=1)
        clipped[~fine] = np.nan
    return clipped


def check_novelty(values: npt.NDArray[Any], batch: int, what: str, *, row_by_row: bool = False) -> npt.NDArray[np.float32]:
    """The novelty of one batch, or an error that says what is wrong with it.

    Args:
        values: as decoded.
        batch: images sent.
        what: the call in words, for the message.
        row_by_row: a value that is no finite number spoils its own row only: it is NaN then.

    Returns:
        float32 [batch], finite; with `row_by_row` a value may be NaN.

    Raises:
        ModelContractError: it is anything else.
    """
    if values.dtype != np.float32 or values.shape != (batch,):
        raise ModelContractError(f"{what}: expected novelty float32 [{batch}], got {values.dtype} {list(values.shape)}")
    fine = np.isfinite(values)
    if fine.all() or row_by_row:
        return np.where(fine, values, np.float32(np.nan))
    raise ModelContractError(f"{what}: expected novelty as finite numbers, got {values[~fine][0]:g}")


def check_maps(values: npt.NDArray[Any], shape: tuple[int, int, int, int], what: str) -> npt.NDArray[np.float32]:
    """The maps of one batch, or an error that says what is wrong with them.

    Args:
        values: as decoded.
        shape: images sent, height and width of a map, classes.
        what: the call in words, for the message.

    Returns:
        float32 [batch, h, w, classes], finite, in [0, 1].

    Raises:
        ModelContractError: they are anything else.
    """
    if values.dtype != np.float32 or values.shape != shape:
        raise ModelContractError(f"{what}: expected maps float32 {list(shape)}, got {values.dtype} {list(values.shape)}")
    if not ((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)).all():
        raise ModelContractError(f"{what}: expected maps in [0, 1], got values from {values.min():g} to {values.max():g}")
    clipped: npt.NDArray[np.float32] = np.clip(values, 0.0, 1.0)
    return clipped


def _check_tensor(info: TensorInfo, alias: str, dtype: int, shape: tuple[int, ...], what: str) -> None:
    found = None if info.tensor_shape.unknown_rank else tuple(dim.size for dim in info.tensor_shape.dim)
    fits = found is None or (
        len(found) == len(shape) and all(-1 in pair or pair[0] == pair[1] for pair in zip(found, shape, strict=True))
    )
    if info.dtype != dtype or not fits:
        raise ModelContractError(
            f"{what}: expected {alias!r} to be {dtype_name(dtype)} {list(shape)}, got "
            f"{dtype_name(info.dtype)} {'of unknown rank' if found is None else list(found)}; export the model again"
        )


def read_output(reply: PredictResponse, alias: str, what: str) -> npt.NDArray[Any]:
    """An output of a reply; raises ModelContractError where it is missing, or no tensor."""
    if alias not in reply.outputs:
        raise ModelContractError(f"{what}: expected an output {alias!r}, got {sorted(reply.outputs)}")
    try:
        return to_array(reply.outputs[alias])
    except TensorError as error:
        raise ModelContractError(f"{what}: output {alias!r}: {error}") from error


def read_spec(reply: PredictResponse, what: str) -> ModelSpec:
    """The ModelSpec in a reply of `describe`; raises ModelContractError where there is none that can be read."""
    texts = read_output(reply, DESCRIBE_OUTPUT_ALIAS, what).ravel()
    if len(texts) < 1 or not isinstance(texts[0], bytes):
        raise ModelContractError(f"{what}: expected one JSON string, got {len(texts)} values of {texts.dtype}")
    try:
        return ModelSpec.model_validate_json(texts[0])
    except ValidationError as error:
        raise ModelContractError(f"{what}: the JSON is no ModelSpec: {error}; export the model again") from error
