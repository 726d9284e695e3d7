"""Review by several readers: many decisions at once, two reads and where they differ, who is here."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.intake.requests import merge, read_json
from api.openapi import inlined, problems
from api.resources import CallerHere, Here, Resources, TenantId
from api.results.schemas import (
    DecisionBatch,
    DecisionBatchRequest,
    DecisionConflict,
    Disagreement,
    DisagreementList,
    ReviewerList,
    ReviewerObject,
    ReviewerRequest,
)
from api.routes.decisions import WhichRead, checked_decision, decision_object
from core.access.callers import Caller
from core.db.access.audit import Action, record
from core.db.decisions import Read, find_decision, find_disagreements, read_decisions, save_decision
from core.db.engine import reading, transaction
from core.db.jobs import get_job
from core.db.review.presence import note_presence, read_presences
from core.errors import ConflictError

router = APIRouter(tags=["results"])

_DECISION = {"item": 7, "verdict": "agree", "reviewer": "Ada", "revision": 0}
_BATCH = {"schema": inlined(DecisionBatchRequest), "example": {"decisions": [_DECISION, {**_DECISION, "item": 8}]}}
_PRESENCE = {"schema": inlined(ReviewerRequest), "example": {"reviewer": "Ada"}}


@router.post(
    "/v1/jobs/{job_id}/decisions",
    summary="Decide about several items",
    responses=problems(400, 404, 413, 422, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": _BATCH}}},
)
async def post_decisions(
    request: Request, here: Here, caller: CallerHere, job_id: UUID, read: WhichRead = Read.FIRST
) -> DecisionBatch:
    """Up to 500 decisions, each as PUT takes it: those that somebody else has made meanwhile stay, and are listed."""
    wanted = merge(DecisionBatchRequest, None, await read_json(request))
    return await run_in_threadpool(_decide_all, here, caller, job_id, wanted, read)


def _decide_all(here: Resources, caller: Caller, job_id: UUID, wanted: DecisionBatchRequest, read: Read) -> DecisionBatch:
    now = here.clock.now()
    saved, conflicts = [], []
    with transaction(here.engine) as session:
        job = get_job(session, caller.tenant_id, job_id)
        for each in wanted.decisions:
            new = checked_decision(session, job, each.item, each)
            try:
                made = save_decision(session, job_id, each.item, new, now, expected=each.revision, read=read)
            except ConflictError as error:
                present = find_decision(session, job_id, each.item, read)
                shown = None if present is None else decision_object(present)
                conflicts.append(DecisionConflict(item=each.item, detail=str(error), present=shown))
            else:
                saved.append(decision_object(made))
        record(session, caller, Action.DECISION, job_id, now, items=len(saved), read=int(read))
    return DecisionBatch(saved=saved, conflicts=conflicts)


@router.get("/v1/jobs/{job_id}/disagreements", summary="Where two readers differ", responses=problems(404, 422, 503))
def get_disagreements(here: Here, tenant_id: TenantId, job_id: UUID) -> DisagreementList:
    """Items to which the first and the second read give different classes, or about which one reader alone is unsure.

    A third decision, with `read=3`, settles an item.
    """
    with reading(here.engine) as session:
        get_job(session, tenant_id, job_id)
        twice, pairs = find_disagreements(session, job_id)
        settled = {
            item: each for item, each in read_decisions(session, job_id, read=Read.SETTLED).items() if each.verdict is not None
        }
    data = [
        Disagreement(
            item=first.item_no,
            first=decision_object(first),
            second=decision_object(second),
            settled=decision_object(settled[first.item_no]) if first.item_no in settled else None,
        )
        for first, second in pairs
    ]
    return DisagreementList(read_twice=twice, data=data)


@router.post(
    "/v1/jobs/{job_id}/reviewers",
    summary="Say who reads, hear who else does",
    responses=problems(400, 404, 413, 422, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": _PRESENCE}}},
)
async def post_reviewer(request: Request, here: Here, tenant_id: TenantId, job_id: UUID) -> ReviewerList:
    """Sent again every few seconds. Readers are named as they name themselves; who was not seen for 30 s is not here."""
    wanted = merge(ReviewerRequest, None, await read_json(request))
    return await run_in_threadpool(_meet, here, tenant_id, job_id, wanted.reviewer)


def _meet(here: Resources, tenant_id: UUID, job_id: UUID, reviewer: str) -> ReviewerList:
    now = here.clock.now()
    with transaction(here.engine) as session:
        get_job(session, tenant_id, job_id)
        note_presence(session, job_id, reviewer, now)
        found = read_presences(session, job_id, now)
    return ReviewerList(now=now, data=[ReviewerObject(reviewer=each.reviewer, seen_at=each.seen_at) for each in found])
