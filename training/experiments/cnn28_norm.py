"""The small 28x28 net with batch, group and plain normalisation.

Command:  python -m training.train cnn28-norm --split published|grouped
Time:     see training/results/cnn28-norm-*.json
Expect:   published 71.64 %, random split, test part watched; of which epoch is not said: here the best on validation
"""

from __future__ import annotations

from training.experiments.base import Experiment, Protocol, Published

EXPERIMENT = Experiment(
    id="cnn28-norm",
    title="CNN with three normalisations, 28x28",
    architecture="cnn28_norm",
    dataset="hmnist",
    height=28,
    width=28,
    epochs=50,
    batch_size=8,
    parameters=59_005,
    best_by="val_accuracy",  # in batches of 8 the last epoch is a draw: 57.9 to 69.5 % on the watched part, over seeds
    minutes=15,
    published=Published(Protocol(test=0.2, seed=42), accuracy=0.7164),
)
