"""The golden batch: a few drawn pictures, and the probabilities and novelty that a version gave for them when it was published.

It lies beside the SavedModel (`assets.extra/golden.npz`), and is asked again before a label moves to the version: a SavedModel
that was cut, swapped or is computed differently by this server answers otherwise.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from core.errors import InvalidRequestError, ModelContractError
from serving.repository import ModelVersion

GOLDEN_NAME = "golden.npz"
BATCH = 8
# How far a probability may stray: other processors sum in another order (1e-6), GPUs multiply with ten bits (1e-3).
TOLERANCE = 5e-3
# How far a novelty may stray, as a share of it (of 1, the note's limit, where it is less): a distance adds up squares.
NOVELTY_TOLERANCE = 0.05


@dataclass(frozen=True)
class Golden:
    """Inputs and recorded outputs of one version."""

    images: npt.NDArray[np.uint8]  # [batch, height, width, 3]
    probabilities: npt.NDArray[np.float32]  # [batch, classes]
    novelty: npt.NDArray[np.float32] | None = None  # [batch]; None: the version has none, or it was recorded before it was kept

    @classmethod
    def load(cls, version: ModelVersion) -> Self | None:
        """What was recorded beside a version, None if nothing was.

        Raises:
            InvalidRequestError: the file cannot be read.
        """
        path = golden_path(version)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                golden = cls(arrays["images"], arrays["probabilities"], arrays.get("novelty"))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InvalidRequestError(
                f"{path}: expected a golden batch: {error}; copy the version again, or record it anew with "
                f"`dermq models verify {version.model} {version.number} --record`"
            ) from error
        golden._check_shapes(path)
        return golden

    def save(self, version: ModelVersion) -> Path:
        """Write it beside the version, in one step."""
        path = golden_path(version)
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        arrays: dict[str, Any] = {"images": self.images, "probabilities": self.probabilities}
        if self.novelty is not None:
            arrays["novelty"] = self.novelty
        with part.open("wb") as file:
            np.savez_compressed(file, **arrays)
        part.replace(path)
        return path

    def compare(self, answered: npt.NDArray[np.float32], novelty: npt.NDArray[np.float32] | None, what: str) -> float:
        """The largest difference of a probability to what was recorded.

        Args:
            answered: probabilities float32 [batch, classes].
            novelty: float32 [batch], of a version that has it. Not looked at where none was recorded.
            what: was asked, for messages.

        Raises:
            ModelContractError: the difference is more than rounding, or that of the novelty is.
        """
        if answered.shape != self.probabilities.shape:
            raise ModelContractError(
                f"{what}: the golden batch was recorded with probabilities {list(self.probabilities.shape)}, got "
                f"{list(answered.shape)}: this is not the model that was published"
            )
        largest = float(np.abs(answered - self.probabilities).max())
        if largest > TOLERANCE:
            raise _difference(what, f"by up to {largest:.4f} (allowed: {TOLERANCE:g})")
        if self.novelty is not None:
            _compare_novelty(self.novelty, novelty, what)
        return largest

    def _check_shapes(self, path: Path) -> None:
        images, probabilities, novelty = self.images, self.probabilities, self.novelty
        fits = images.ndim == 4 and probabilities.ndim == 2 and 0 < len(images) == len(probabilities)
        if novelty is not None and (novelty.dtype != np.float32 or novelty.shape != (len(images),)):
            raise InvalidRequestError(
                f"{path}: expected novelty float32 [{len(images)}], got {novelty.dtype} {list(novelty.shape)}; record the "
                "golden batch anew with `dermq models verify MODEL VERSION --record`"
            )
        if not fits or images.dtype != np.uint8 or probabilities.dtype != np.float32:
            raise InvalidRequestError(
                f"{path}: expected images uint8 [n, height, width, 3] and probabilities float32 [n, classes], got "
                f"{images.dtype} {list(images.shape)} and {probabilities.dtype} {list(probabilities.shape)}"
            )


def _compare_novelty(recorded: npt.NDArray[np.float32], answered: npt.NDArray[np.float32] | None, what: str) -> None:
    if answered is None:
        raise _difference(what, "in its novelty: it gives none")
    strays = np.abs(answered - recorded) / np.maximum(1.0, np.abs(recorded))
    worst = int(np.argmax(strays))
    if strays[worst] > NOVELTY_TOLERANCE:
        allowed = f"allowed: {NOVELTY_TOLERANCE:.0%}"
        raise _difference(what, f"in its novelty: {answered[worst]:.3f} instead of {recorded[worst]:.3f} ({allowed})")


def _difference(what: str, how: str) -> ModelContractError:
    return ModelContractError(
        f"{what}: the golden batch differs from what was recorded {how}: the files were changed after they were published, or "
        "this server computes otherwise; export the version again"
    )


def golden_path(version: ModelVersion) -> Path:
    """Where the golden batch of a version lies."""
    return version.extra / GOLDEN_NAME


def draw_images(height: int, width: int) -> npt.NDArray[np.uint8]:
    """Pictures that are worth asking a model about: skin with a darker, softly bounded blot, each unlike the others.

    Args:
        height: pixels.
        width: pixels.

    Returns:
        uint8 [BATCH, height, width, 3].
    """
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    pictures = [_draw(number, rows, columns) for number in range(BATCH)]
    return np.stack(pictures).astype(np.uint8)


def _draw(number: int, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    skin = np.array([225.0 - 6 * number, 180.0 - 9 * number, 160.0 - 5 * number])
    blot = np.array([[70.0, 40.0, 30.0], [180.0, 60.0, 60.0], [40.0, 35.0, 60.0], [130.0, 90.0, 60.0]][number % 4])
    distance = np.hypot((rows - 0.1 * (number % 3)) * (1 + 0.2 * number), columns + 0.05 * number)
    share = 1 / (1 + np.exp((distance - 0.3 - 0.05 * number) * (6 + 2 * number)))
    ripple = 12 * np.sin(rows * (3 + number)) * np.cos(columns * (5 - 0.5 * number))
    mixed = skin + (blot - skin) * share[..., None] + ripple[..., None]
    drawn: npt.NDArray[np.float64] = np.clip(np.round(mixed), 0, 255)
    return drawn
