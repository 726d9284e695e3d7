"""The VGG-like net's convolutions, read by an LSTM.

Command:  python -m training.train cnn75-lstm --split published|grouped
Time:     about a third of cnn75's
Expect:   63.45 % (a run of the notebook)
"""

from __future__ import annotations

from training.experiments.base import Experiment, Plateau, Published
from training.experiments.cnn75 import AUGMENTATION, PROTOCOL

EXPERIMENT = Experiment(
    id="cnn75-lstm",
    title="VGG-like CNN read by an LSTM, 75x100",
    architecture="cnn75_lstm",
    dataset="ham10000",
    height=75,
    width=100,
    epochs=3,
    batch_size=50,
    parameters=1_180_615,
    minutes=40,
    standardise=True,
    augmentation=AUGMENTATION,
    plateau=Plateau(reduce_after=4),
    published=Published(PROTOCOL, accuracy=0.6345, note="a run of the notebook"),
)
