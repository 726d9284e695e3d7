"""A third stage of the starter: the run of version 3, trained further on pictures that are mixed with one another.

Command:  python -m training.train starter-lite-mixed --weights data/runs/starter-lite-128-grouped/model.keras
          after `starter-lite-128` and `python -m training.interpolate`, which made the run of version 3
Time:     see training/results/starter-lite-mixed-grouped.json
Expect:   see docs/models/starter.md
"""

from __future__ import annotations

from dataclasses import replace

from training.experiments import starter_lite_128
from training.experiments.starter_teacher import AUGMENTATION

EXPERIMENT = replace(
    starter_lite_128.EXPERIMENT,
    id="starter-lite-mixed",
    title="Starter, third stage: EfficientNet-Lite0 on mixed pictures of three sources, 128x128",
    epochs=24,
    minutes=75,
    learning_rate=5e-4,
    label_smoothing=0.05,
    ema_momentum=0.999,
    statistics_batches=200,
    balance=0.5,
    mixing=0.6,
    augmentation=AUGMENTATION,
)
