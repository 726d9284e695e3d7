"""The starter model: what a newcomer meets in `make demo`.

Command:  python -m training.train starter --data ../shared/data/ham10000
Time:     about half an hour on two CPU cores
Expect:   on the grouped split's test part better than the majority class (66.8 %); see docs/models/starter.md
"""

from __future__ import annotations

from training.experiments.base import Augmentation, Experiment

EXPERIMENT = Experiment(
    id="starter",
    title="Starter: small residual net on HAM10000, 96x96",
    architecture="starter",
    dataset="ham10000",
    height=96,
    width=96,
    epochs=40,
    batch_size=64,
    parameters=None,
    minutes=30,
    learning_rate=2e-3,
    schedule="cosine",
    weight_decay=0.05,
    label_smoothing=0.1,
    ema_momentum=0.998,
    balance=0.35,
    prior_correction=0.5,  # halfway: all of it is best for accuracy and likelihood, none for balanced accuracy
    augmentation=Augmentation(),
    options={"widths": (32, 64, 128, 256)},
)
