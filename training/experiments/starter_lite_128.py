"""The starter of version 3: `starter-lite`, trained further on larger pictures.

Command:  python -m training.train starter-lite-128 --weights data/runs/starter-lite-grouped/model.keras [--data ../shared/data]
          after `python -m training.train starter-lite`, whose run it begins with
Time:     see training/results/starter-lite-128-grouped.json
Expect:   see docs/models/starter.md
"""

from __future__ import annotations

from dataclasses import replace

from training.experiments import starter_lite

EXPERIMENT = replace(
    starter_lite.EXPERIMENT,
    id="starter-lite-128",
    title="Starter, second stage: EfficientNet-Lite0 on three sources, 128x128",
    height=128,
    width=128,
    epochs=14,
    batch_size=32,
    minutes=80,
    options={**starter_lite.EXPERIMENT.options, "dropout": 0.2},
)
