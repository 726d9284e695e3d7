"""From a model's answer to outcomes of images: one way for a worker's chunks and for the API's single images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.db.outcomes import ItemOutcome
from core.errors import ItemErrorCode
from core.imaging import DecodedImage, UnexaminedImage, examine
from core.imaging.differencehash import difference_hash, difference_hashes
from core.modelspec import ModelSpec
from core.notes import ItemNote
from core.precision import as_shown, shortest_floats
from core.settings import ImageLimits
from core.uncertainty import measure_uncertainty
from serving.client import Answer


@dataclass(frozen=True, slots=True)
class DecodedItem:
    """One image that stands in a batch."""

    item_no: int
    name: str
    width: int  # pixels of the original, upright
    height: int
    notes: tuple[ItemNote, ...] = ()
    difference_hash: int | None = None  # core.imaging.differencehash

    @classmethod
    def of(cls, item_no: int, name: str, decoded: DecodedImage, limits: ImageLimits) -> DecodedItem:
        """What a row says of an image that was decoded under these limits; they say whether it gets a hash, too."""
        alike = difference_hash(decoded.pixels) if limits.near_duplicates else None
        return cls(item_no, name, decoded.width, decoded.height, decoded.notes, alike)

    @classmethod
    def of_batch(
        cls,
        names: Sequence[tuple[int, str]],
        decoded: Sequence[UnexaminedImage],
        pixels: npt.NDArray[np.uint8],
        limits: ImageLimits,
    ) -> list[DecodedItem]:
        """As `of`, of a whole batch at once.

        Args:
            names: number and name of each item.
            decoded: its image.
            pixels: of all of them, uint8 [images, height, width, 3].
            limits: say whether there are hashes.
        """
        hashes: Sequence[int | None] = difference_hashes(pixels) if limits.near_duplicates else [None] * len(names)
        return [
            cls(number, name, image.width, image.height, notes, alike)
            for (number, name), image, notes, alike in zip(names, decoded, examine(decoded), hashes, strict=True)
        ]


def rejected(item: DecodedItem, message: str) -> ItemOutcome:
    """The outcome of an image that the model does not take."""
    return ItemOutcome(
        item.item_no,
        item.name,
        width=item.width,
        height=item.height,
        error_code=ItemErrorCode.REJECTED_BY_MODEL,
        error=message,
    )


def make_outcomes(spec: ModelSpec, items: Sequence[DecodedItem], answer: Answer) -> Iterator[ItemOutcome]:
    """Label, score, risk, flag and novelty of each image. What is compared has the precision in which it is shown.

    Args:
        spec: names the classes, the malignant ones and the thresholds.
        items: the batch.
        answer: for each of them. An image fails whose probabilities or novelty are NaN: the model gave none for it.
    """
    faults = _faults(spec, answer)
    probabilities = np.nan_to_num(answer.probabilities, nan=0.0)
    best = probabilities.argmax(axis=1)
    risks = _risks(spec, probabilities)
    threshold = None if spec.threshold is None else as_shown(spec.threshold)
    novelties = _shown_novelty(answer, len(items))
    uncertainties = _uncertainties(spec, probabilities)
    wire = np.ascontiguousarray(probabilities, dtype="<f4")
    for row, item in enumerate(items):
        if fault := faults.get(row):
            yield rejected(item, fault)
            continue
        novelty = novelties[row]
        yield ItemOutcome(
            item_no=item.item_no,
            name=item.name,
            label=spec.classes[best[row]],
            score=float(probabilities[row, best[row]]),
            risk=risks[row],
            probabilities=wire[row].tobytes(),
            flag=_flag(risks[row], threshold),
            width=item.width,
            height=item.height,
            novelty=novelty,
            difference_hash=item.difference_hash,
            uncertainty=uncertainties[row],
            notes=(*item.notes, ItemNote.UNLIKE_TRAINING) if _is_unlike(spec, novelty) else item.notes,
        )


def _faults(spec: ModelSpec, answer: Answer) -> dict[int, str]:
    """What is wrong with rows of an answer, by row."""
    faults = {}
    if answer.novelty is not None:
        rows = np.flatnonzero(np.isnan(answer.novelty)).tolist()
        faults = dict.fromkeys(rows, f"model {spec.name} answered this image with a novelty that is no finite number")
    rows = np.flatnonzero(np.isnan(answer.probabilities).any(axis=1)).tolist()
    text = f"model {spec.name} answered this image with values that are no probabilities (0 to 1)"
    return faults | dict.fromkeys(rows, text)


def _shown_novelty(answer: Answer, rows: int) -> list[float | None]:
    if answer.novelty is None:
        return [None] * rows
    return [novelty for (novelty,) in shortest_floats(np.nan_to_num(answer.novelty, nan=0.0)[:, None])]


def _is_unlike(spec: ModelSpec, novelty: float | None) -> bool:
    return spec.novelty is not None and novelty is not None and novelty > as_shown(spec.novelty.threshold)


def _risks(spec: ModelSpec, probabilities: npt.NDArray[np.float32]) -> list[float] | list[None]:
    """Of each image, as it is shown: the sum over the malignant classes, or the highest where several classes may be true."""
    if not spec.has_risk:
        return [None] * len(probabilities)
    malignant = probabilities[:, spec.malignant_indices].astype(np.float64)
    risks = malignant.max(axis=1) if spec.multi_label else malignant.sum(axis=1)
    return [risk for (risk,) in shortest_floats(risks.clip(0.0, 1.0)[:, None])]


def _uncertainties(spec: ModelSpec, probabilities: npt.NDArray[np.float32]) -> list[float] | list[None]:
    """Of each image, as it is shown; none where images are sorted by their risk."""
    if spec.has_risk:
        return [None] * len(probabilities)
    found = measure_uncertainty(probabilities, multi_label=spec.multi_label)
    return [value for (value,) in shortest_floats(found[:, None])]


def _flag(risk: float | None, threshold: float | None) -> bool | None:
    return None if risk is None or threshold is None else risk >= threshold
