"""The VGG-like net at 75x100.

Command:  python -m training.train cnn75 --split published|grouped
Time:     about 70 minutes on one CPU core in bfloat16 (--mixed-precision); minutes on a GPU
Expect:   published 75.19 % on test, 75.31 % on validation (a run of the notebook: 74.84 / 74.44 %)
"""

from __future__ import annotations

from dataclasses import replace

from training.experiments.base import GEOMETRY_ONLY, Experiment, Plateau, Protocol, Published

AUGMENTATION = replace(GEOMETRY_ONLY, flip=False, rotation_degrees=10, zoom=0.1, stretch=0.0, shift=0.1)
PROTOCOL = Protocol(test=0.2, seed=23, validation=0.1)

EXPERIMENT = Experiment(
    id="cnn75",
    title="VGG-like CNN, 75x100",
    architecture="cnn75",
    dataset="ham10000",
    height=75,
    width=100,
    epochs=10,
    batch_size=50,
    parameters=15_310_919,
    minutes=70,
    standardise=True,
    augmentation=AUGMENTATION,
    plateau=Plateau(reduce_after=4, stop_after=6),
    published=Published(
        PROTOCOL, accuracy=0.7519, note="validation 75.31 %; a run of the notebook: 74.84 / 74.44 %", loss="0.7023, 0.7233"
    ),
)
