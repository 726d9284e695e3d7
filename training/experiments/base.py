"""What an experiment file states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Largest change of each kind; 0 or False switches a kind off."""

    flip: bool = True
    rotation_degrees: float = 180.0
    zoom: float = 0.2  # scale within 1 ± zoom
    stretch: float = 0.1  # height against width, within 1 ± stretch
    shift: float = 0.1  # share of the side
    brightness: float = 0.15  # share of the full range
    contrast: float = 0.2
    saturation: float = 0.2
    tint: float = 0.05  # each channel's gain within 1 ± tint: lamps and cameras differ
    squares: float = 0.0  # share of the pictures shown as the middle square of a 4:3 picture would be
    vignettes: float = 0.0  # share of the pictures darkened outside a circle, as by the tube of a dermatoscope


GEOMETRY_ONLY = Augmentation(brightness=0.0, contrast=0.0, saturation=0.0, tint=0.0)


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a published result split its images: random, lesions torn apart."""

    test: float  # share
    seed: int
    validation: float = 0.0  # share of what is left for training; 0: the test part was watched during training


@dataclass(frozen=True, slots=True)
class Published:
    """The figure to compare with, and how it was got."""

    protocol: Protocol
    accuracy: float | None  # share, on the test part
    note: str = ""
    loss: str = ""  # cross-entropy, as published: which part it is of, and the figure


@dataclass(frozen=True, slots=True)
class Plateau:
    """Halve the learning rate when a metric rests, stop when it rests longer."""

    metric: str = "val_accuracy"
    factor: float = 0.5
    reduce_after: int = 4  # epochs
    stop_after: int = 0  # epochs; 0: never
    smallest_rate: float = 1e-5


@dataclass(frozen=True, slots=True)
class FineTuning:
    """A second phase for pretrained bases: the last layers of the base learn too, slowly."""

    epochs: int
    layers: int  # of the base, from its end
    learning_rate: float = 1e-5


@dataclass(frozen=True, slots=True)
class Experiment:
    """One training recipe: data, architecture, protocol and what to expect of it."""

    id: str
    title: str
    architecture: str
    dataset: str
    height: int
    width: int
    epochs: int
    batch_size: int
    parameters: int | None  # as published, where known
    minutes: float  # on two CPU cores, a guess: `training.resulttable.measured_minutes` knows better once a result is kept
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0  # of sgd
    schedule: Literal["constant", "cosine"] = "constant"  # cosine: warm-up over 5 %, then down to 0
    weight_decay: float = 0.0
    loss: Literal["cross_entropy", "focal"] = "cross_entropy"
    label_smoothing: float = 0.0
    ema_momentum: float = 0.0  # 0: no averaging of weights
    statistics_batches: int = 0  # batches to collect the averaged weights' statistics with; 0: they keep those of training
    mixing: float = 0.0  # share of the pictures that another one is mixed into: see training.feeding.mixtures
    teaching: float = 0.0  # the teachers' share of the loss; above 0 the run needs teachers
    balance: float = 0.0  # see training.pipeline
    # Share of what `balance` took from the larger classes that is given back after training; "fitted": as validation asks.
    prior_correction: float | Literal["fitted"] = 0.0
    half_precision: bool = False  # round the large weights to float16 after training, so that an export takes half the space
    oversample: bool = False  # repeat images of the smaller classes until all are as large, within the training part
    class_weights: bool = False  # weigh the loss by the inverse of a class's share
    metadata: bool = False  # the net takes age, sex and site beside the picture: see training.metadata
    standardise: bool = False  # centre and scale pixels by mean and deviation of the training part: options `mean`, `deviation`
    augmentation: Augmentation | None = None
    plateau: Plateau | None = None
    best_by: str = ""  # validation metric whose best epoch is kept; "": the last one
    fine_tuning: FineTuning | None = None
    published: Published | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of the architecture
