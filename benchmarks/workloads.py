"""What is measured: archives of JPEGs and models, drawn anew or taken from the real data beside the checkout.

| workload | images | model | what costs |
|---|---|---|---|
| model_bound | A: 600x450 | MobileNetV2 at 224 px | the model |
| decode_bound | A: 600x450 | a CNN of 28x28 px | decoding |
| small_images | B: 200x150 | a CNN of 28x28 px | everything that is done once for each image |

The weights are random: only the cost counts. Both models have DermQ's signatures, and are frozen when they are loaded.
"""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.imaging import preprocessing_hash
from core.modelspec import ModelSpec

CLASSES = ("akiec", "bcc", "bkl", "df", "mel", "nv", "vasc")
SHARED = Path(os.environ.get("DERMQ_TEST_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@dataclass(frozen=True, slots=True)
class Workload:
    """One line of the table."""

    name: str
    images: str  # which archive: A or B
    model: str
    side: int  # the model's input height and width, pixels
    batch: int  # images in one call of the loop: what is best there

    def archive(self, folder: Path) -> Path:
        """Where its archive lies."""
        return folder / f"{self.images}.zip"

    def version(self, folder: Path) -> Path:
        """Where the only version of its model lies."""
        return folder / "models" / self.model / "1"


WORKLOADS = (
    Workload("model_bound", "A", "mobilenet", 224, 2),
    Workload("decode_bound", "A", "small-cnn", 28, 128),
    Workload("small_images", "B", "small-cnn", 28, 128),
)


def make_inputs(folder: Path, counts: dict[str, int]) -> str:
    """Write A.zip and B.zip, stored, and the models; returns a sentence that says where the images come from.

    Args:
        folder: an empty one.
        counts: images of A and of B.
    """
    originals = sorted((SHARED / "ham10000" / "originals_600x450").glob("*.jpg"))
    small = SHARED / "ham10000" / "ham10000_200x150.zip"
    if originals and small.is_file():
        large_files = [path.read_bytes() for path in originals]
        with zipfile.ZipFile(small) as members:
            names = [name for name in members.namelist() if name.endswith(".jpg")][: counts["B"]]
            small_files = [members.read(name) for name in names]
        said = f"images of HAM10000: A from {len(large_files)} originals, B from {len(small_files)} re-encoded at 200x150"
    else:
        large_files = [draw_jpeg(seed, (600, 450), quality=97) for seed in range(39)]
        small_files = [draw_jpeg(seed, (200, 150), quality=75) for seed in range(200)]
        said = "drawn images"
    for name, files in (("A", large_files), ("B", small_files)):
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_STORED) as archive:
            for number in range(counts[name]):
                archive.writestr(f"{name}_{number:06d}.jpg", files[number % len(files)])
    export_models(folder)
    mean = {name: sum(map(len, files)) / len(files) / 1000 for name, files in (("A", large_files), ("B", small_files))}
    return f"{said}; A: {counts['A']} of {mean['A']:.0f} kB, B: {counts['B']} of {mean['B']:.1f} kB on average"


def draw_jpeg(seed: int, size: tuple[int, int], *, quality: int) -> bytes:
    """A dark spot on skin with fine texture, so that a file has about as many bytes as a photograph's."""
    rng, (width, height) = np.random.default_rng(seed), size
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot((x - width / 2) / (width * 0.25), (y - height / 2) / (height * 0.3))
    spot = 1 / (1 + np.exp(8 * (distance - 1)))[..., None]
    skin, mole = rng.uniform((190, 140, 120), (230, 180, 160)), rng.uniform((70, 40, 30), (130, 90, 80))
    texture = rng.normal(0, 6, (height, width, 1)) + rng.normal(0, 2, (height, width, 3))
    pixels = (skin * (1 - spot) + mole * spot + texture).clip(0, 255).astype(np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=quality)
    return target.getvalue()


def export_models(folder: Path) -> None:
    """Write every model once, in a process that has loaded TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf  # noqa: PLC0415 - 5 s, and only here

    for name, side in {(workload.model, workload.side): None for workload in WORKLOADS}:
        tf.keras.utils.set_random_seed(7)
        network = _mobilenet(tf) if name == "mobilenet" else _small_cnn(tf, side)
        spec = ModelSpec(
            name=name,
            classes=CLASSES,
            input_height=side,
            input_width=side,
            malignant=("akiec", "bcc", "mel"),
            thresholds={"balanced": 0.5},
            operating_point="balanced",
            preprocessing_hash=preprocessing_hash(side, side, "stretch"),
        ).model_dump_json()
        _export(tf, network, side, spec, folder / "models" / name / "1")


def _mobilenet(tf: Any) -> Any:
    return tf.keras.applications.MobileNetV2(weights=None, input_shape=(224, 224, 3), classes=len(CLASSES))


def _small_cnn(tf: Any, side: int) -> Any:
    """About 60,000 parameters."""
    layers = tf.keras.layers
    stages = [
        layer
        for width in (32, 48, 64)
        for layer in (layers.Conv2D(width, 3, padding="same"), layers.ReLU(), layers.MaxPool2D())
    ]
    head = [layers.Flatten(), layers.Dense(24, "relu"), layers.Dense(len(CLASSES), "softmax")]
    return tf.keras.Sequential([layers.Input((side, side, 3)), *stages, *head])


def _export(tf: Any, network: Any, side: int, spec: str, target: Path) -> None:
    archive = tf.keras.export.ExportArchive()
    archive.track(network)
    archive.add_endpoint(
        "serving_default",
        lambda images: {"probabilities": network(tf.cast(images, tf.float32) / 127.5 - 1.0, training=False)},
        input_signature=[tf.TensorSpec((None, side, side, 3), tf.uint8, name="images")],
    )
    archive.add_endpoint(
        "describe",
        lambda query: {"spec": tf.fill(tf.shape(query), spec)},
        input_signature=[tf.TensorSpec((None,), tf.string, name="query")],
    )
    target.parent.mkdir(parents=True)
    archive.write_out(str(target), verbose=False)
