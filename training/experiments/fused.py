"""Picture and metadata: the starter's convolutions beside age, sex and site.

Command:  python -m training.train fused --data ../shared/data/ham10000
Time:     about as long as the starter at the same size
Expect:   no figure published; compare with `starter` on the same split. It cannot be exported: a job has pictures alone
"""

from __future__ import annotations

from training.experiments.base import Augmentation, Experiment

EXPERIMENT = Experiment(
    id="fused",
    title="Picture and metadata (age, sex, site), 64x64",
    architecture="fused",
    dataset="ham10000",
    height=64,
    width=64,
    epochs=28,
    batch_size=64,
    parameters=None,
    minutes=25,
    learning_rate=2e-3,
    schedule="cosine",
    weight_decay=0.05,
    label_smoothing=0.1,
    balance=0.35,
    prior_correction=0.5,
    augmentation=Augmentation(),
    metadata=True,
)
