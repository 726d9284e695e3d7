"""Review: rows in columns for a grid, and what readers decide."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AwareDatetime
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from api.intake.requests import merge, read_json
from api.openapi import inlined, problems
from api.resources import CallerHere, Here, Resources, TenantId
from api.results.schemas import DecisionList, DecisionObject, DecisionRequest, Overview
from api.results.views import classes_of, threshold_of
from api.routes.items import ItemNo
from api.schemas import MAX_ITEM
from core.access.callers import Caller
from core.db.access.audit import Action, record
from core.db.decisions import AnyDecision, NewDecision, Read, Verdict, find_decision, read_decisions, save_decision
from core.db.engine import reading, transaction
from core.db.jobs import get_job
from core.db.models import TERMINAL_STATES, Job
from core.db.overview import read_overview
from core.db.results import find_result
from core.db.truth.store import find_truth_set, read_truths
from core.errors import NotFoundError
from core.notes import ItemNote
from core.precision import shortest_list

router = APIRouter(tags=["results"])

_BODY = inlined(DecisionRequest)
_EXAMPLE = {"verdict": "relabel", "label": "bcc", "flagged": False, "note": "", "reviewer": "Ada", "revision": 0}
WhichRead = Annotated[Read, Query(description="1: the first read, 2: the second one, 3: what was settled where they differ.")]
Since = Annotated[AwareDatetime | None, Query(description="Only decisions of this time or later.")]
_BITS = {str(note): 1 << at for at, note in enumerate(ItemNote)}


@router.get(
    "/v1/jobs/{job_id}/overview",
    summary="Rows in columns",
    responses={200: {"model": Overview}, **problems(404, 422, 503)},
)
def get_overview(
    *,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    after: Annotated[int, Query(ge=-1, le=MAX_ITEM, description="Only items behind this one.")] = -1,
    limit: Annotated[int, Query(ge=1, le=200_000)] = 100_000,
) -> Response:
    """Risk, class, margin, truth and notes of up to 200,000 items, as in the archive: what a grid sorts and filters by."""
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        if job.state not in TERMINAL_STATES:
            body = _overview(session, job, after, limit)
        else:  # nothing changes but the truth
            known = find_truth_set(session, job_id)
            key = (job_id, job.revision, known and (known.revision, known.added_at), after, limit)
            body = here.overviews.get(key, lambda: _overview(session, job, after, limit))
    return Response(body, media_type="application/json")


def _overview(session: Session, job: Job, after: int, limit: int) -> str:
    rows = read_overview(session, job.id, limit=limit, after=after)
    truths = read_truths(session, job.id)
    classes = classes_of(job)
    margins = iter(_margins([each for each in rows.probabilities if each is not None], len(classes)))
    places = {name: at for at, name in enumerate(classes)}
    risks = shortest_list(np.array(rows.risk, np.float64))  # NaN where there is none
    body = Overview.model_construct(
        item=rows.item_no,
        risk=[None if risk is None else shown for risk, shown in zip(rows.risk, risks, strict=True)],
        label=[None if label is None else places.get(label) for label in rows.label],
        margin=[None if each is None else next(margins) for each in rows.probabilities],
        truth=[] if truths is None else [places.get(truths.get(item, "")) for item in rows.item_no],
        notes=[sum(_BITS.get(code, 0) for code in notes.split(",")) if notes else 0 for notes in rows.notes],
        note_codes=list(_BITS),
        classes=list(classes),
        malignant=list((job.modelspec or {}).get("malignant", ())),
        threshold=threshold_of(job),
        next=rows.next,
    )
    return body.model_dump_json()


@router.get("/v1/jobs/{job_id}/decisions", summary="What readers have decided", responses=problems(404, 422, 503))
def get_decisions(
    here: Here, tenant_id: TenantId, job_id: UUID, read: WhichRead = Read.FIRST, since: Since = None
) -> DecisionList:
    """All decisions of the job in one read. Results have them too, as pages and as files."""
    with reading(here.engine) as session:
        get_job(session, tenant_id, job_id)
        found = read_decisions(session, job_id, read=read, since=since)
    return DecisionList(data=[decision_object(each) for each in found.values()])


@router.get("/v1/jobs/{job_id}/items/{item_no}/decision", summary="An item's decision", responses=problems(404, 422, 503))
def get_decision(
    here: Here, tenant_id: TenantId, job_id: UUID, item_no: ItemNo, read: WhichRead = Read.FIRST
) -> DecisionObject:
    """404 where nobody has decided."""
    with reading(here.engine) as session:
        get_job(session, tenant_id, job_id)
        decision = find_decision(session, job_id, item_no, read)
    if decision is None:
        raise NotFoundError(f"nobody has decided about item {item_no} of job {job_id}")
    return decision_object(decision)


@router.put(
    "/v1/jobs/{job_id}/items/{item_no}/decision",
    summary="Decide about an item",
    responses=problems(400, 404, 409, 413, 422, 503),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _BODY, "example": _EXAMPLE}}}},
)
async def put_decision(
    *, request: Request, here: Here, caller: CallerHere, job_id: UUID, item_no: ItemNo, read: WhichRead = Read.FIRST
) -> DecisionObject:
    """Saved if the decision is still the one that the reader has seen, by its `revision`; else 409, and nothing is changed.

    To take a decision back, send the one before it with the present revision.
    """
    wanted = merge(DecisionRequest, None, await read_json(request))
    return await run_in_threadpool(_decide, here, caller, job_id, item_no, wanted, read=read)


def _decide(
    here: Resources, caller: Caller, job_id: UUID, item_no: int, wanted: DecisionRequest, *, read: Read
) -> DecisionObject:
    now = here.clock.now()
    with transaction(here.engine) as session:
        job = get_job(session, caller.tenant_id, job_id)
        new = checked_decision(session, job, item_no, wanted)
        saved = save_decision(session, job_id, item_no, new, now, expected=wanted.revision, read=read)
        record(session, caller, Action.DECISION, job_id, now, item=item_no, revision=saved.revision, read=int(read))
        return decision_object(saved)


def checked_decision(session: Session, job: Job, item_no: int, wanted: DecisionRequest) -> NewDecision:
    """What is to be saved about an item that has a row.

    Raises:
        NotFoundError: it has none (yet).
        RequestValidationError: the model does not have that class.
    """
    row = find_result(session, job.id, item_no)
    classes = classes_of(job)
    if wanted.label is not None and wanted.label not in classes:
        message = f"expected one of {', '.join(classes)}, got another class"
        raise RequestValidationError([{"loc": ("body", "label"), "msg": message, "type": "value_error"}])
    label = row.label if wanted.verdict == Verdict.AGREE else wanted.label
    return NewDecision(wanted.verdict, label, wanted.flagged, wanted.note, wanted.reviewer)


def _margins(probabilities: list[bytes], classes: int) -> list[float]:
    if not probabilities:
        return []
    matrix = np.frombuffer(b"".join(probabilities), "<f4").reshape(len(probabilities), classes)
    greatest = np.partition(matrix, classes - 2, axis=1)[:, -2:]
    return shortest_list(greatest[:, 1] - greatest[:, 0])


def decision_object(decision: AnyDecision) -> DecisionObject:
    """A decision as it is shown."""
    return DecisionObject(
        item=decision.item_no,
        verdict=None if decision.verdict is None else Verdict(decision.verdict),
        label=decision.label,
        flagged=decision.flagged,
        note=decision.note,
        reviewer=decision.reviewer,
        at=decision.decided_at,
        revision=decision.revision,
    )
