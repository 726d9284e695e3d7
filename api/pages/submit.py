"""The page that takes pictures, and the answer of one of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from api.intake.queue import long_queue_s
from api.pages.charts import colour_of
from api.pages.rendering import render
from api.pages.routing import PageRoute
from api.resources import Here, TenantId
from api.results.views import base_url, classes_of, threshold_of
from api.routes.items import ItemNo, load_row
from api.schemas import Priority
from core.db.engine import reading
from core.db.models import Job
from core.formats import format_duration

PART_BYTES = 8 * 1024 * 1024  # what is larger is sent in parts of this size
_SHOWN_ALIKE = 12

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/")
def show_submit(request: Request, here: Here, _tenant: TenantId) -> HTMLResponse:
    """Take files, a folder or an archive."""
    settings, queue_s = here.settings, long_queue_s(here)
    return render(
        "submit.html",
        page="submit",
        base=base_url(request, settings.api),
        model=settings.serving.default_model,
        priorities=list(Priority),
        max_upload_bytes=settings.api.max_upload_bytes,
        max_image_bytes=settings.image.max_bytes,
        part_bytes=PART_BYTES,
        queue=None if queue_s is None else format_duration(queue_s),
    )


@router.get("/jobs/{job_id}/items/{item_no}")
def show_item(here: Here, tenant_id: TenantId, job_id: UUID, item_no: ItemNo) -> HTMLResponse:
    """What the model says of one picture: a fragment."""
    job, row = load_row(here, tenant_id, job_id, item_no)
    with reading(here.engine) as session:
        groups = here.duplicates.groups(session, job)
    group = None if groups is None else groups.get(item_no)
    alike = [] if groups is None or group is None else [item for item in groups.items_of(group) if item != item_no]
    return render(
        "_item.html",
        job=job,
        row=row,
        threshold=threshold_of(job),
        probabilities=_probabilities(job, row),
        explained=bool((job.modelspec or {}).get("explain")),
        alike=alike[:_SHOWN_ALIKE],
        more_alike=len(alike[_SHOWN_ALIKE:]),
    )


def _probabilities(job: Job, row: dict[str, Any]) -> list[tuple[str, float, int, bool]]:
    """(class, probability, colour, whether it counts for the risk), the greatest first; none for a failed item."""
    classes = classes_of(job)
    malignant = set((job.modelspec or {}).get("malignant", ()))
    found = [(name, row[f"p_{name}"], colour_of(name, classes), name in malignant) for name in classes]
    return sorted((each for each in found if each[1] is not None), key=lambda each: (-each[1], each[0]))
