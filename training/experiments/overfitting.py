"""The over-fitting study: one net twice, plain and with augmentation and dropout. The same data, rate, batches and epochs.

Command:  python -m training.train overfit-plain; python -m training.train overfit-regularised
Time:     see training/results/overfit-*-grouped.json
Expect:   plain: training loss near 0, validation loss rising after few epochs; regularised: the two stay together
Shown:    docs/models/plots.md, "Over-fitting"
"""

from __future__ import annotations

from dataclasses import replace

from training.experiments.base import Augmentation, Experiment

PLAIN = Experiment(
    id="overfit-plain",
    title="Over-fitting study: plain net, 28x28",
    architecture="study",
    dataset="hmnist",
    height=28,
    width=28,
    epochs=30,
    batch_size=64,
    parameters=None,
    minutes=2,
)
REGULARISED = replace(
    PLAIN,
    id="overfit-regularised",
    title="Over-fitting study: with augmentation and dropout, 28x28",
    augmentation=Augmentation(),
    options={"dropout": 0.5},
)
EXPERIMENTS = (PLAIN, REGULARISED)
