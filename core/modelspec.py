"""ModelSpec: what a served model says of itself through its `describe` signature.

Any server that holds the model can tell a worker how to feed it; there is no second source and no shared file system.

Contract of an exported SavedModel:
- `serving_default`: `images` uint8 [batch, height, width, 3] → `probabilities` float32 [batch, classes], calibrated; and, where
  the spec has `novelty`, `novelty` float32 [batch]: how unlike the training pictures each image is, the larger the more;
- `explain`, where the spec has `explain`: `images` as above → `maps` float32 [batch, h, w, classes] in 0…1: for each class, how
  much each place of the image, as the model sees it, speaks for it; 1 at the strongest place, all 0 where none does;
- `describe`: `query` string [n] (ignored) → `spec` string [n], each row this class as JSON, so that a server that batches can
  merge and pad requests.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

INPUT_ALIAS = "images"
OUTPUT_ALIAS = "probabilities"
NOVELTY_ALIAS = "novelty"
EXPLAIN_SIGNATURE = "explain"
EXPLAIN_OUTPUT_ALIAS = "maps"
DESCRIBE_SIGNATURE = "describe"
DESCRIBE_INPUT_ALIAS = "query"
DESCRIBE_OUTPUT_ALIAS = "spec"


class NoveltySpec(BaseModel):
    """How a version measures that a picture is unlike those it was trained on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    method: str  # in a word: mahalanobis, nearest_centroid, energy, or another team's
    threshold: float = Field(allow_inf_nan=False)  # novelty above which an image gets the note unlike_training
    false_alarms: float | None = Field(default=None, ge=0, le=1)  # share of the test part above it, where it was measured


class ExplainSpec(BaseModel):
    """How a version says which places of an image speak for a class."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    method: str  # in a word: grad_cam, or another team's
    height: int = Field(gt=0)  # of a map, places
    width: int = Field(gt=0)


class Bins(BaseModel):
    """Shares of values between edges: below the first one, from one to the next, from the last one on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    edges: tuple[float, ...]  # ascending
    shares: tuple[float, ...]  # one more than edges, with a sum of 1

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError(f"expected one share more than edges, got {len(self.shares)} shares of {len(self.edges)} edges")
        if any(low >= high for low, high in pairwise(self.edges)):
            raise ValueError(f"expected edges that rise, got {list(self.edges)}")
        return self


class Reference(BaseModel):
    """What a version answered on its test part: what its answers to new pictures are compared with (core.drift)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    images: int = Field(gt=0)
    classes: tuple[float, ...]  # share of the images whose first class is this one, in the order of the spec
    risk: Bins | None = None
    novelty: Bins | None = None


class ModelSpec(BaseModel):
    """Everything a worker, a page or a report needs to know of a model version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schema_version: int = 1
    name: str
    classes: tuple[str, ...] = Field(min_length=2)
    input_height: int = Field(gt=0)  # pixels
    input_width: int = Field(gt=0)  # pixels
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    multi_label: bool = False  # each probability stands for itself: several classes may be true of one image, or none
    # The classes whose probabilities make the risk: their sum, or the highest one where several may be true. Without any there
    # is no risk, and images are sorted by how unsure the model is.
    malignant: tuple[str, ...] = ()
    thresholds: dict[str, float] = {}  # operating point → risk at or above which an image is flagged; none without a risk
    operating_point: str = ""  # the threshold that sets `flag`
    temperature: float = Field(default=1.0, gt=0)  # already folded into the graph; recorded here
    dataset: str = ""
    split: str = ""
    metrics: dict[str, float] = {}
    git_commit: str = ""
    preprocessing_hash: str  # core.imaging.preprocessing_hash() of the code that decoded the training images
    licence: str = ""
    novelty: NoveltySpec | None = None  # None: the version has no second output
    explain: ExplainSpec | None = None  # None: the version has no signature of that name
    reference: Reference | None = None  # None: drift of the version cannot be told

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        unknown = set(self.malignant) - set(self.classes)
        if unknown:
            raise ValueError(f"malignant names {sorted(unknown)}, which are not among classes {list(self.classes)}")
        if self.reference and len(self.reference.classes) != len(self.classes):
            raise ValueError(f"reference names {len(self.reference.classes)} classes, and there are {len(self.classes)}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"expected classes that differ, got {list(self.classes)}")
        if not self.malignant and (self.thresholds or self.operating_point):
            raise ValueError(f"thresholds {self.thresholds} are of a risk, and no class is malignant")
        if self.malignant and self.operating_point not in self.thresholds:
            raise ValueError(f"operating_point {self.operating_point!r} is not among thresholds {sorted(self.thresholds)}")
        return self

    @property
    def malignant_indices(self) -> tuple[int, ...]:
        """Positions of the malignant classes in `classes`."""
        return tuple(i for i, name in enumerate(self.classes) if name in self.malignant)

    @property
    def has_risk(self) -> bool:
        """Whether some class is malignant."""
        return bool(self.malignant)

    @property
    def threshold(self) -> float | None:
        """Risk at or above which an image is flagged; None without a risk."""
        return self.thresholds.get(self.operating_point)
