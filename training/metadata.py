"""What is known of a patient as numbers beside the picture: age, sex, site. All that is learned here is from the training part.

A missing age is imputed by the training part's median, and a column says that it was: 57 of HAM10000's images have none.
Sex and site have one column for each value of the training part and one for "unknown", which also stands for values that were
never trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from core.errors import InvalidRequestError
from training.datasets.base import Dataset, FloatArray, Sample
from training.experiments.base import Experiment
from training.splits import Split

NAME = "metadata.json"
UNKNOWN = "unknown"
CATEGORIES = ("sex", "site")


@dataclass(frozen=True, slots=True)
class MetadataEncoder:
    """Turns the attributes of samples into columns.

    Attributes:
        age_median: years; what a missing age counts as.
        age_deviation: years; ages are centred by the median and scaled by this.
        values: attribute → the values that have a column.
    """

    age_median: float
    age_deviation: float
    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, samples: Sequence[Sample]) -> MetadataEncoder:
        """Median, deviation and values of these samples, the training part's.

        Raises:
            InvalidRequestError: none of them has an age.
        """
        ages = np.array([age for sample in samples if (age := years(sample)) is not None])
        if len(ages) == 0:
            raise InvalidRequestError("metadata: expected samples with an age in years, found none; use a data set that has it")
        values = {name: tuple(sorted({_value(sample, name) for sample in samples} - {UNKNOWN})) for name in CATEGORIES}
        return cls(float(np.median(ages)), float(ages.std()) or 1.0, values)

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names."""
        named = [f"{name}={value}" for name in CATEGORIES for value in (*self.values[name], UNKNOWN)]
        return ("age", "age missing", *named)

    def encode(self, samples: Sequence[Sample]) -> FloatArray:
        """float64 [n, columns]."""
        return np.array([self._row(sample) for sample in samples]).reshape(len(samples), len(self.columns))

    def nothing_known(self) -> FloatArray:
        """float64 [columns]: the row of a patient of whom nothing is known."""
        row: FloatArray = self.encode([Sample("", "", "")])[0]
        return row

    def save(self, folder: Path) -> None:
        """Writes `metadata.json`."""
        (folder / NAME).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> MetadataEncoder | None:
        """What `save` wrote; None for a run without metadata."""
        if not (folder / NAME).is_file():
            return None
        raw = json.loads((folder / NAME).read_text(encoding="utf-8"))
        return cls(raw["age_median"], raw["age_deviation"], {name: tuple(found) for name, found in raw["values"].items()})

    def _row(self, sample: Sample) -> list[float]:
        age = years(sample)
        row = [0.0 if age is None else (age - self.age_median) / self.age_deviation, float(age is None)]
        for name in CATEGORIES:
            value = _value(sample, name)
            known = value in self.values[name]
            row += [float(known and each == value) for each in self.values[name]] + [float(not known)]
        return row


def encoded(experiment: Experiment, dataset: Dataset, split: Split) -> tuple[MetadataEncoder | None, Experiment]:
    """The encoder of the training part, and the experiment with its `nothing_known` as an option; None where not asked for.

    Raises:
        InvalidRequestError: no sample of the training part has an age.
    """
    if not experiment.metadata:
        return None, experiment
    encoder = MetadataEncoder.fit([dataset.samples[i] for i in dataset.positions(split.train)])
    known = tuple(encoder.nothing_known().tolist())
    return encoder, replace(experiment, options={**experiment.options, "nothing_known": known})


def years(sample: Sample) -> float | None:
    """The age, None where it is missing or no number."""
    try:
        age = float(sample.attributes.get("age", ""))
    except ValueError:
        return None
    return age if np.isfinite(age) else None


def _value(sample: Sample, name: str) -> str:
    return sample.attributes.get(name, "") or UNKNOWN
