"""Items by a column of the archive's table."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from api.openapi import problems
from api.parameters import unknown_value
from api.resources import Here, TenantId
from api.results.schemas import GroupList, GroupObject
from api.results.views import metadata_of
from core.db.engine import reading
from core.db.itemgroups import read_item_groups
from core.db.jobs import get_job
from core.precision import as_shown

router = APIRouter(tags=["results"])


@router.get("/v1/jobs/{job_id}/groups", summary="Patients or lesions, the riskiest first", responses=problems(404, 422, 503))
def get_groups(
    *,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    by: Annotated[str, Query(min_length=1, max_length=200, description="Column of the archive's table: patient_id.")],
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="Groups to pass over.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> GroupList:
    """Items with the same cell in a column are a group: its highest risk stands for it. Items with an empty cell are in none.

    Also while the job runs: groups may then still change their places.
    """
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        columns = metadata_of(job)
        if by not in columns:
            raise unknown_value("by", by, columns or ("nothing: the archive has no table",))
        found = read_item_groups(session, job_id, by)
    data = [
        GroupObject(
            value=group.value,
            items=group.items,
            failed=group.failed,
            flagged=group.flagged,
            risk=None if group.risk is None else as_shown(group.risk),
            item=group.item,
        )
        for group in found[offset : offset + limit]
    ]
    return GroupList(by=by, groups=len(found), data=data)
