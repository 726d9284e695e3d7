"""The recurrent net on 28x28 rows.

Command:  python -m training.train lstm --split published|grouped
Time:     see training/results/lstm-*.json
Expect:   published 70.99 % (a run of the notebook: 72.64 %), random split, test part watched
"""

from __future__ import annotations

from training.experiments.base import Experiment, Protocol, Published

EXPERIMENT = Experiment(
    id="lstm",
    title="LSTM over the rows of 28x28 pictures",
    architecture="lstm",
    dataset="hmnist",
    height=28,
    width=28,
    epochs=50,
    batch_size=32,
    parameters=171_111,
    minutes=15,
    published=Published(Protocol(test=0.2, seed=42), accuracy=0.7099, note="a run of the notebook: 72.64 %"),
)
