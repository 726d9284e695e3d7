"""What an experiment file states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Largest change of each kind; 0 switches a kind off."""

    flip: bool = True
    rotation_degrees: float = 180.0
    zoom: float = 0.2  # scale within 1 ± zoom
    stretch: float = 0.1  # height against width, within 1 ± stretch
    shift: float = 0.1  # share of the side
    brightness: float = 0.15  # share of the full range
    contrast: float = 0.2
    saturation: float = 0.2
    tint: float = 0.05  # each channel's gain within 1 ± tint: lamps and cameras differ


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
    minutes: float  # measured on two CPU cores
    learning_rate: float = 1e-3
    schedule: str = "constant"  # or "cosine": warm-up over 5 %, then down to 0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    ema_momentum: float = 0.0  # 0: no averaging of weights
    balance: float = 0.0  # see training.pipeline
    augmentation: Augmentation | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # of the architecture
