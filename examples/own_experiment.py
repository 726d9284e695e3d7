"""A training recipe of your own: change the fields of EXPERIMENT and run

    python examples/own_experiment.py PICTURES RUN [EPOCHS]

PICTURES is a folder with one folder for each class, or a CSV with the columns path, label and group. RUN is the folder that
is written; go on with `dermq calibrate RUN`, `dermq evaluate RUN` and `dermq export RUN --model NAME`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from training.experiments.base import Augmentation, Experiment
from training.train import Options, train

EXPERIMENT = Experiment(
    id="own",
    title="A small residual net on 64x64 pictures",
    architecture="starter",  # a name of training/architectures/registry.py
    dataset="folders",
    height=64,
    width=64,
    epochs=20,
    batch_size=32,
    parameters=None,
    minutes=5,
    learning_rate=2e-3,
    schedule="cosine",
    weight_decay=0.05,
    label_smoothing=0.05,
    balance=0.5,  # draw rare classes more often; 0: as often as they are there
    augmentation=Augmentation(rotation_degrees=180.0, zoom=0.2),
    options={"widths": (16, 32, 64, 96)},
)


def main(pictures: str, run: str, epochs: str = str(EXPERIMENT.epochs)) -> None:
    """Train, and print the folder of the run."""
    folder = train(EXPERIMENT, Options(data=Path(pictures), out=Path(run), epochs=int(epochs)))
    print(folder.path)


if __name__ == "__main__":
    main(*sys.argv[1:])
