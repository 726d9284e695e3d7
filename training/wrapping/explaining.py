"""The signature `explain` of a wrapped model. A Keras file alone tells its layers, among which is the last feature map."""

from __future__ import annotations

from core.errors import InvalidRequestError
from core.wraprequest import Layout, Output
from training.saliency import Explainer
from training.wrapping.foreign import Foreign
from training.wrapping.planning import Feeding

MOST_CLASSES = 50  # each class has gradients of its own in the graph


def find_explainer(foreign: Foreign, feeding: Feeding, output: Output, classes: int) -> tuple[Explainer | None, str]:
    """What explains a model's answers, or None and why there is none, as a sentence.

    Args:
        foreign: the opened model.
        feeding: what it is fed with.
        output: what it answers.
        classes: how many names were given.
    """
    if foreign.network is None:
        return None, f"A {foreign.kind} does not tell its layers: its answers cannot be explained."
    if feeding.layout is not Layout.NHWC or feeding.one_by_one:
        return None, "It does not take several images with their colours last: its answers cannot be explained."
    if classes > MOST_CLASSES:
        return None, f"It has {classes} classes, and answers are explained of up to {MOST_CLASSES}."
    try:
        found = Explainer(foreign.network, logits=output is Output.LOGITS)
    except InvalidRequestError as error:
        return None, f"{error}."
    if {str(each.dtype) for each in found.tensors} != {"float32"}:
        return None, f"It computes in {found.tensors[0].dtype}, not in float32: its answers cannot be explained."
    return found, ""
