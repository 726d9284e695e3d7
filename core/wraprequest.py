"""What whoever wraps a model says of it, which no file tells. The command line reads it, also where training/ is absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from core.errors import InvalidRequestError

Resize = Literal["stretch", "crop", "pad"]


class Scale(StrEnum):
    """What the model's input is made of the bytes 0 to 255 of each colour."""

    NONE = "none"  # the bytes themselves
    UNIT = "0-1"  # x / 255
    SIGNED = "-1-1"  # x / 127.5 - 1
    IMAGENET = "imagenet"  # (x / 255 - mean) / deviation, by colour, as torchvision's models expect


class Layout(StrEnum):
    """Where the colours stand in the model's input."""

    NHWC = "nhwc"  # last: TensorFlow, Keras
    NCHW = "nchw"  # second: PyTorch


class Output(StrEnum):
    """What the model's output is."""

    LOGITS = "logits"  # before softmax, or before sigmoid where several classes may be true
    PROBABILITIES = "probabilities"


@dataclass(frozen=True)
class WrapRequest:
    """What is said of a model. None: not said, to be found out, or asked for."""

    name: str
    classes: tuple[str, ...]  # in the order of the output; of one sigmoid: the class of 0, then the class of 1
    malignant: tuple[str, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)  # operating point → risk; the first one sets `flag`
    size: tuple[int, int] | None = None  # height, width in pixels
    scale: Scale | None = None
    layout: Layout | None = None
    output: Output | None = None
    multi_label: bool = False
    resize: Resize = "stretch"
    signature: str | None = None  # of a SavedModel that has several
    output_name: str | None = None  # of a model that has several outputs
    licence: str = ""

    def check(self) -> None:
        """Raises InvalidRequestError for what contradicts itself, naming the option."""
        if len(self.classes) < 2:
            raise InvalidRequestError(
                f"--classes: expected at least two names, got {list(self.classes)}; a model with one output for yes or no "
                "has two "
                "classes: `--classes benign,malignant`, the class of 0 first"
            )
        if len(set(self.classes)) != len(self.classes):
            twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
            raise InvalidRequestError(f"--classes: expected names that differ, got {twice} more than once")
        if unknown := [name for name in self.malignant if name not in self.classes]:
            raise InvalidRequestError(f"--malignant: {unknown} are not among --classes {list(self.classes)}")
        if self.malignant and not self.thresholds:
            raise InvalidRequestError(
                "--threshold: a model with malignant classes needs the risk from which an image is flagged (`--threshold "
                "0.35`): "
                "whoever made the model chose it, or you choose it on images whose diagnosis you know"
            )
        if self.thresholds and not self.malignant:
            raise InvalidRequestError("--threshold: it is a limit of the risk, and no class is named by --malignant")
        if outside := [value for value in self.thresholds.values() if not 0 <= value <= 1]:
            raise InvalidRequestError(f"--threshold: expected values from 0 to 1, got {outside}")
