"""Items by a column of the archive's table, by likeness, by their name."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response

from api.openapi import problems
from api.parameters import unknown_value
from api.resources import Here, TenantId
from api.results.schemas import GroupList, GroupObject, MatchList, MemberList
from api.results.views import metadata_of
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.models import Job
from core.db.names import find_named
from core.evaluation.duplicates import Groups
from core.precision import as_shown

router = APIRouter(tags=["results"])

Column = Annotated[str, Query(min_length=1, max_length=200, description="Column of the archive's table: patient_id.")]


@router.get("/v1/jobs/{job_id}/groups", summary="Patients or lesions, the riskiest first", responses=problems(404, 422, 503))
def get_groups(
    *,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    by: Column,
    offset: Annotated[int, Query(ge=0, le=10_000_000, description="Groups to pass over.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> GroupList:
    """Items with the same cell in a column are a group: its highest risk stands for it. Items with an empty cell are in none.

    Also while the job runs: groups may then still change their places.
    """
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        _check_column(job, by)
        found = here.groups.groups(session, job, by)
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


@router.get(
    "/v1/jobs/{job_id}/members",
    summary="Which item is in which group",
    responses={200: {"model": MemberList}, **problems(404, 422, 503)},
)
def get_members(here: Here, tenant_id: TenantId, job_id: UUID, by: Column | None = None) -> Response:
    """By a column of the archive's table; without `by`, near duplicates, which are known once the job has ended."""
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        if by is not None:
            _check_column(job, by)
            groups = [(each.value, list(each.members)) for each in here.groups.groups(session, job, by)]
        else:
            alike = here.duplicates.groups(session, job)
            groups = [] if alike is None else _members(alike)
    body = MemberList(
        by=by,
        values=[value for value, _ in groups],
        item=[item for _, members in groups for item in members],
        group=[place for place, (_, members) in enumerate(groups) for _ in members],
    )
    return Response(body.model_dump_json(), media_type="application/json")


@router.get(
    "/v1/jobs/{job_id}/matches",
    summary="Items by name",
    responses={200: {"model": MatchList}, **problems(404, 422, 503)},
)
def get_matches(
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    name: Annotated[str, Query(min_length=1, max_length=200, description="Text that the name has in it, whatever its case.")],
) -> Response:
    """Numbers of the items whose name in the archive has a text in it."""
    with reading(here.engine) as session:
        get_job(session, tenant_id, job_id)
        found = find_named(session, job_id, name)
    return Response(MatchList(name=name, item=found).model_dump_json(), media_type="application/json")


def _check_column(job: Job, by: str) -> None:
    columns = metadata_of(job)
    if by not in columns:
        raise unknown_value("by", by, columns or ("nothing: the archive has no table",))


def _members(alike: Groups) -> list[tuple[str, list[int]]]:
    found: dict[int, list[int]] = {}
    for item, first in alike.pairs():
        found.setdefault(first, []).append(item)
    return [(str(first), members) for first, members in found.items()]
