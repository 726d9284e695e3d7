"""One item of a job: its row."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse

from api.openapi import problems
from api.resources import Here, Resources, TenantId
from api.results.views import classes_of, metadata_of, result_objects
from api.schemas import MAX_ITEM, ResultObject
from core.db.decisions import read_decided
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.models import Job
from core.db.results import find_result
from core.db.truth.store import read_truths

router = APIRouter(tags=["results"])

ItemNo = Annotated[int, Path(ge=0, le=MAX_ITEM, description="Position in the archive, from 0.")]


@router.get(
    "/v1/jobs/{job_id}/items/{item_no}",
    summary="One item's row",
    responses={200: {"model": ResultObject}, **problems(404, 422, 503)},
)
def get_item(here: Here, tenant_id: TenantId, job_id: UUID, item_no: ItemNo) -> JSONResponse:
    """The row that pages and files have, with the table's other cells where the images come from one."""
    return JSONResponse(load_row(here, tenant_id, job_id, item_no)[1])


def load_row(here: Resources, tenant_id: UUID, job_id: UUID, item_no: int) -> tuple[Job, dict[str, Any]]:
    """A job and one of its rows, as it is shown; raises NotFoundError."""
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        row = find_result(session, job_id, item_no)
        decided, truths = read_decided(session, job_id, [item_no]), read_truths(session, job_id, [item_no])
        alike = here.duplicates.groups(session, job)
    cells, classes = metadata_of(job), classes_of(job)
    rows = result_objects([row], job.model, classes, cells, decided, duplicates=alike, truths=truths, every_class=True)
    return job, next(rows)
