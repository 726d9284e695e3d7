"""The 28x28 net trained on randomly oversampled classes.

Command:  python -m training.train cnn28-oversampled --split published|grouped
Time:     see training/results/cnn28-oversampled-*.json
Expect:   published 88.42 %, with duplicates across the split; a rerun that oversamples inside the training part alone is lower

Its page speaks of beam search at inference; for one label an image that is a top-k ranking, which `training.evaluate` gives.
"""

from __future__ import annotations

from training.experiments.base import Experiment, Protocol, Published

EXPERIMENT = Experiment(
    id="cnn28-oversampled",
    title="CNN on oversampled classes, 28x28",
    architecture="cnn28_oversampled",
    dataset="hmnist",
    height=28,
    width=28,
    epochs=50,
    batch_size=128,
    parameters=504_103,
    minutes=10,
    oversample=True,
    published=Published(Protocol(test=0.2, seed=42), accuracy=0.8842, note="with duplicates across the split"),
)
