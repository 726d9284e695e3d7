"""How a foreign model is to be fed and read: from its signature, from what was said of it, and from what it answers.

What neither tells is asked for, by the name of its option. Nothing is guessed: pictures scaled wrongly still get probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import InvalidRequestError
from core.wraprequest import Layout, Output, Scale, WrapRequest
from training.wrapping.foreign import Foreign

_ROUNDING = 1e-3  # how far float16 softmax may stray from a sum of 1


@dataclass(frozen=True)
class Feeding:
    """How an image gets into the model."""

    height: int  # pixels
    width: int
    scale: Scale
    layout: Layout
    one_by_one: bool  # the model takes one image at a time: its batch is fixed to 1


def plan_feeding(foreign: Foreign, request: WrapRequest) -> Feeding:
    """Size, scale and layout.

    Raises:
        InvalidRequestError: the input is no image of three colours, the request contradicts it, or something is not known; all
            options that are missing are named.
    """
    shape = foreign.input_shape
    if len(shape) != 4 or not (foreign.input_dtype.is_floating or foreign.input_dtype.is_integer):
        raise InvalidRequestError(
            f"expected an input of numbers [batch, height, width, 3] or [batch, 3, height, width], got "
            f"{foreign.input_in_words}; "
            "export the model from where it takes decoded pixels"
        )
    if shape[0] not in (None, 1):
        raise InvalidRequestError(
            f"{foreign.input_in_words}: a batch of {shape[0]} is fixed; export the model with an open batch"
        )
    missing: list[str] = []
    layout = request.layout or _layout_of(shape)
    if layout is None:
        missing.append("--layout nhwc|nchw (where the three colours stand: last, or second)")
    sides, colours = (shape[1:3], shape[3]) if layout != Layout.NCHW else (shape[2:4], shape[1])
    if layout is not None and colours not in (None, 3):
        raise InvalidRequestError(f"--layout {layout}: expected three colours there, got {foreign.input_in_words}")
    size = _size(sides, request, foreign) if layout is not None else request.size
    if size is None:
        missing.append("--size HEIGHTxWIDTH (the pixels that it was trained on)")
    scale = request.scale or _scale_of(foreign)
    if scale is None:
        missing.append("--scale 0-1|-1-1|imagenet|none (how its training made numbers of the bytes 0 to 255)")
    if layout is None or size is None or scale is None:
        raise InvalidRequestError(
            f"the {foreign.kind} does not say all that is needed (its input: {foreign.input_in_words}): give "
            f"{', '.join(missing)}; "
            "whoever trained the model knows"
        )
    return Feeding(size[0], size[1], scale, layout, one_by_one=shape[0] == 1)


def _layout_of(shape: tuple[int | None, ...]) -> Layout | None:
    if shape[3] == 3 and shape[1] != 3:
        return Layout.NHWC
    return Layout.NCHW if shape[1] == 3 and shape[3] != 3 else None


def _size(sides: tuple[int | None, ...], request: WrapRequest, foreign: Foreign) -> tuple[int, int] | None:
    wanted = request.size or (None, None)
    for side, asked in zip(sides, wanted, strict=True):
        if side is not None and asked is not None and side != asked:
            raise InvalidRequestError(f"--size {wanted[0]}x{wanted[1]}: the model takes only {foreign.input_in_words}")
    height, width = (side or asked for side, asked in zip(sides, wanted, strict=True))
    return (height, width) if height and width else None


def _scale_of(foreign: Foreign) -> Scale | None:
    """Bytes are taken as they are by an input of whole numbers, and by a model that scales by itself."""
    return Scale.NONE if foreign.input_dtype.is_integer or foreign.scales_itself else None


def decide_output(answers: npt.NDArray[Any], request: WrapRequest) -> Output:
    """Whether the model answers probabilities, by what it answered to sample images.

    Args:
        answers: [images, outputs], as the model gave them.
        request: what was said of it.

    Raises:
        InvalidRequestError: they do not fit what was said, or could be either; the option is named.
    """
    outputs, classes = answers.shape[1], len(request.classes)
    if not np.isfinite(answers).all():
        raise InvalidRequestError("the model answers sample images with values that are no numbers: is --scale right?")
    if outputs != classes and not (outputs == 1 and classes == 2 and not request.multi_label):
        raise InvalidRequestError(
            f"--classes: the model has {outputs} outputs, and {classes} names were given; one name for each, in its order "
            "(a single output for yes or no has two: the class of 0 first)"
        )
    within = bool((answers >= -_ROUNDING).all() and (answers <= 1 + _ROUNDING).all())
    adds_up = outputs > 1 and within and bool((np.abs(answers.sum(axis=1) - 1) <= _ROUNDING).all())
    return _said(request, answers, within, adds_up) if request.output else _seen(request, answers, within, adds_up)


def _seen(request: WrapRequest, answers: npt.NDArray[Any], within: bool, adds_up: bool) -> Output:
    if adds_up and not request.multi_label:
        return Output.PROBABILITIES
    if not within:
        return Output.LOGITS
    raise InvalidRequestError(
        f"the model answers sample images with {_range(answers)}, which may be either: give --output logits|probabilities"
        + (
            ""
            if request.multi_label or answers.shape[1] == 1
            else " (and --multi-label, if several classes may be true at once)"
        )
    )


def _said(request: WrapRequest, answers: npt.NDArray[Any], within: bool, adds_up: bool) -> Output:
    found = _range(answers)
    if request.output is Output.PROBABILITIES and not within:
        raise InvalidRequestError(f"--output probabilities: the model answers sample images with {found}: is it logits?")
    alone = request.multi_label or answers.shape[1] == 1
    if request.output is Output.PROBABILITIES and not (adds_up or alone):
        raise InvalidRequestError(
            f"--output probabilities: they add up to {answers.sum(axis=1).min():.3g} to {answers.sum(axis=1).max():.3g} "
            "for sample "
            "images, not to 1: give --multi-label, if several classes may be true at once"
        )
    if request.output is Output.LOGITS and adds_up and not request.multi_label:
        raise InvalidRequestError("--output logits: what the model answers adds up to 1 for every sample image: probabilities")
    if request.output is None:
        raise AssertionError("nothing was said")
    return request.output


def _range(answers: npt.NDArray[Any]) -> str:
    return f"values from {answers.min():.4g} to {answers.max():.4g}"
