"""What a job is asked for, and what its rows are filtered by: keyword arguments of both clients."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, TypedDict

from dermq.calls import Value

Path = str | os.PathLike[str]
Source = Path | Sequence[Path] | bytes
ADDRESSES = ("s3://", "gs://", "az://", "https://")  # what a server reads by itself, where its operator allows it
OTHER_JOB = "job:"  # with an id behind it: the images of that job


class JobOptions(TypedDict, total=False):
    """Each may be left out: the server then chooses."""

    model: str | None  # name of the model
    label: str | None  # its version by label, such as "stable"
    version: int | None  # or by number
    name: str | None  # of the job
    priority: Literal["low", "normal", "high"] | None
    error_budget: float | None  # share of failed items, 0 to 1, beyond which the job fails
    tags: list[str] | None  # words by which the job is found
    path_column: str | None  # where the source is a table: its column that names the images


class RowFilters(TypedDict, total=False):
    """Which rows, in which order."""

    sort: Literal["risk", "-risk", "novelty", "-novelty", "uncertainty", "-uncertainty", "item"] | None
    label: str | None  # the predicted class
    min_risk: float | None
    max_risk: float | None
    status: Literal["succeeded", "failed"] | None
    flagged: bool | None
    note: str | None
    min_novelty: float | None
    truth: str | None


def values(options: JobOptions | RowFilters) -> dict[str, Value | None]:
    """Options as parameters of a request."""
    given: dict[str, Value | None] = {}
    for key, value in options.items():
        given[key] = str(value).lower() if isinstance(value, bool) else value  # type: ignore[assignment]  # plain values only
    return given


def address_of(source: Source) -> str | None:
    """The source, if it is an address that the server reads by itself."""
    return source if isinstance(source, str) and (is_address(source) or source.startswith(OTHER_JOB)) else None


def is_address(text: str) -> bool:
    """Whether a text is an address of a kind that servers read by themselves; schemes have no case (RFC 3986, 3.1)."""
    return text[:8].lower().startswith(ADDRESSES)
