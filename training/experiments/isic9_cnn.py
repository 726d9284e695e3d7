"""The 9-class set: convolutions from scratch, SGD.

Command:  python -m training.train isic9-cnn [--drop-duplicates]
Time:     about 20 minutes on one CPU core
Expect:   published train 94 %, validation 72 %; layers not published. Its folders share many files: see the leakage report
"""

from __future__ import annotations

from training.experiments.base import GEOMETRY_ONLY, Experiment, Protocol, Published

EXPERIMENT = Experiment(
    id="isic9-cnn",
    title="CNN for the nine ISIC classes, 180x180",
    architecture="isic9_cnn",
    dataset="isic9",
    height=180,
    width=180,
    epochs=30,
    batch_size=32,
    parameters=None,
    minutes=20,
    optimizer="sgd",
    learning_rate=3e-3,
    momentum=0.9,
    best_by="val_accuracy",  # from epoch to epoch it changes by ten points and more
    balance=1.0,
    augmentation=GEOMETRY_ONLY,
    published=Published(Protocol(test=0.0, seed=123, validation=0.2), accuracy=None, note="train 94 %, validation 72 %"),
)
