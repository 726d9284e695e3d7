"""The grid of pictures. Sorting and filtering happen in the browser; the address holds them, so that a link shows the same."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from api.pages.rendering import render
from api.pages.routing import PageRoute
from api.resources import Here, TenantId
from api.results.views import base_url, metadata_of
from api.routes.jobs import view_job
from api.schemas import Word
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.truth.store import find_truth_set
from core.notes import ItemNote

router = APIRouter(route_class=PageRoute, include_in_schema=False)


class Order(StrEnum):
    """In which order the pictures come."""

    RISKIEST = "risk"
    HARMLESS = "-risk"
    UNCERTAIN = "uncertain"
    ARCHIVE = "item"


class Show(StrEnum):
    """Which pictures, by the risk and the threshold of the page."""

    FLAGGED = "flagged"
    BELOW = "below"
    FAILED = "failed"


class Decided(StrEnum):
    """Which pictures, by what readers decided."""

    OPEN = "open"
    AGREE = "agree"
    RELABEL = "relabel"
    UNSURE = "unsure"
    MARKED = "marked"
    DIFFER = "differ"


class View(BaseModel):
    """The address of a grid."""

    sort: Order = Order.RISKIEST
    show: Show | None = None
    label: Word | None = None
    truth: Word | None = None
    note: ItemNote | None = None
    decision: Decided | None = None
    threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)
    read: Literal["1", "2", "3"] = "1"
    name: str = Field("", max_length=200)
    by: str = Field("", max_length=200)
    group: str = Field("", max_length=200)

    @property
    def has_more(self) -> bool:
        """Whether a filter is set that is folded away as a rule."""
        return bool(self.truth or self.note or self.name or self.by or self.read != "1")


_ORDERS = {
    Order.RISKIEST: "riskiest first",
    Order.HARMLESS: "harmless first",
    Order.UNCERTAIN: "uncertain first",
    Order.ARCHIVE: "as in the archive",
}
_SHOWN = {Show.FLAGGED: "at or above the threshold", Show.BELOW: "below the threshold", Show.FAILED: "failed"}
_DECIDED = {
    Decided.OPEN: "not decided",
    Decided.AGREE: "agree",
    Decided.RELABEL: "another class",
    Decided.UNSURE: "unsure",
    Decided.MARKED: "flagged by a reader",
    Decided.DIFFER: "readers differ",
}
_READS = {"1": "first read", "2": "second read, blind", "3": "settle differences"}
_ALIKE = "near duplicates"  # as rows.js has it
_KEYS = (
    ("agree", "a", "agree with the model"),
    ("unsure", "x", "unsure"),
    ("flag", "f", "flag, or take the flag away"),
    ("note", "n", "write a note"),
    ("undo", "u", "undo your last change"),
    ("next", "j", "next picture without a decision"),
    ("all", "s", "choose all that the filter shows, or none"),
    ("look", " ", "look closer, and back"),
    ("help", "?", "this list"),
)


@router.get("/jobs/{job_id}/review")
def show_review(
    request: Request, here: Here, tenant_id: TenantId, job_id: UUID, view: Annotated[View, Query()]
) -> HTMLResponse:
    """The frame of the grid; a module fetches rows and thumbnails."""
    base = base_url(request, here.settings.api)
    with reading(here.engine) as session:
        row = get_job(session, tenant_id, job_id)
        job, columns = view_job(session, row, base), metadata_of(row)
        has_truth = find_truth_set(session, job_id) is not None
    return render(
        "review.html",
        page="jobs",
        job=job,
        view=view,
        has_truth=has_truth,
        orders=_ORDERS,
        shown=_SHOWN,
        decided=_DECIDED,
        reads=_READS,
        columns={each: each for each in (_ALIKE, *columns)},
        keys=_KEYS,
    )
