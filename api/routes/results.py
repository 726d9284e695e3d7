"""Results of a job: pages, files, failures."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.orm import Session
from starlette.responses import StreamingResponse

from api.intake.names import content_disposition
from api.openapi import problems
from api.parameters import refused_value, unknown_value
from api.resources import Here, TenantId
from api.results.cursors import decode_position, encode_position, next_url
from api.results.exports import MEDIA_TYPES, Export, ExportFormat
from api.results.schemas import Histogram
from api.results.views import base_url, classes_of, item_failures, metadata_of, result_objects, threshold_of
from api.schemas import ItemFailureList, ResultList, Word
from core.db.decisions import read_decided
from core.db.engine import reading
from core.db.histograms import read_histogram
from core.db.jobs import get_job, read_tallies
from core.db.models import ItemState, Job
from core.db.results import ResultFilter, ResultSort, count_results, position_of, read_results
from core.db.truth.store import read_truths
from core.errors import ItemErrorCode
from core.notes import ItemNote

router = APIRouter(tags=["results"])

Risk = Annotated[float | None, Query(ge=0, le=1, allow_inf_nan=False)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Cursor = Annotated[str | None, Query(max_length=300, description="From a page's `next`.")]
Sort = Annotated[
    ResultSort,
    Query(
        description="`-risk`: riskiest first; `-novelty`: most unlike the training pictures first; `-uncertainty`: least sure "
        "first, of models without malignant classes. Items that have no such value come last in either direction."
    ),
]
ByteOrderMark = Annotated[bool, Query(description="CSV begins with a byte order mark, by which Excel knows that it is UTF-8.")]
_OBJECT: dict[int | str, dict[str, Any]] = {
    200: {"model": ResultList, "headers": {"Link": {"schema": {"type": "string"}, "description": "rel=next"}}}
}


def chosen_results(
    *,
    label: Annotated[Word | None, Query(description="Only this label.")] = None,
    min_risk: Risk = None,
    max_risk: Risk = None,
    status: Annotated[ItemState | None, Query(description="Only succeeded, or only failed items.")] = None,
    flagged: Annotated[bool | None, Query(description="Whether the risk reaches the model's operating threshold.")] = None,
    note: Annotated[ItemNote | None, Query(description="Only items with this note.")] = None,
    min_novelty: Annotated[
        float | None,
        Query(ge=-1e9, le=1e9, allow_inf_nan=False, description="Only items of at least this novelty."),
    ] = None,
    truth: Annotated[Word | None, Query(description="Only items of this true class.")] = None,
) -> ResultFilter:
    """The filter that pages and files share."""
    return ResultFilter(label, min_risk, max_risk, status, flagged, note=note, min_novelty=min_novelty, truth=truth)


def check_label(chosen: ResultFilter, job: Job) -> None:
    """Refuse a label that is no class of the job's model: no row at all would look like "none found"."""
    classes = classes_of(job)
    for name, value in (("label", chosen.label), ("truth", chosen.truth)):
        if value is not None and classes and value not in classes:
            raise unknown_value(name, value, classes)


def check_code(session: Session, job_id: UUID, code: str | None) -> None:
    """Refuse a code that is neither an item's error code nor, from another release, in the job."""
    known = {str(each) for each in ItemErrorCode}
    if code is not None and code not in known and code not in (found := read_tallies(session, job_id).errors):
        raise unknown_value("code", code, sorted(known | set(found)))


Chosen = Annotated[ResultFilter, Depends(chosen_results)]


@router.get("/v1/jobs/{job_id}/results", summary="Results, page by page", responses=_OBJECT | problems(400, 404, 422, 503))
def get_results(
    *,
    request: Request,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    chosen: Chosen,
    sort: Sort = ResultSort.ITEM,
    limit: Limit = 100,
    cursor: Cursor = None,
    count: Annotated[bool, Query(description="Also count all matching rows, which reads an index or the rows.")] = False,
) -> Response:
    """Pages by keyset: the last costs what the first does. Also while the job runs; rows may then still appear behind you."""
    after = decode_position(cursor, sort) if cursor else None
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        check_label(chosen, job)
        rows = read_results(session, job_id, chosen=chosen, sort=sort, limit=limit + 1, after=after)
        counted = {"count": count_results(session, job_id, chosen)} if count else {}
        page = rows[:limit]
        numbers = [row.item_no for row in page]
        decided, truths = read_decided(session, job_id, numbers), read_truths(session, job_id, numbers)
        alike = here.duplicates.groups(session, job)
    response = Response(media_type="application/json")
    following = None
    if len(rows) > limit:
        position = encode_position(position_of(page[-1], sort), sort)
        following = next_url(request, response, base_url(request, here.settings.api), position)
    data = list(result_objects(page, job.model, classes_of(job), metadata_of(job), decided, duplicates=alike, truths=truths))
    return _with_json(response, {"object": "list", "data": data, "next": following, **counted})


@router.get("/v1/jobs/{job_id}/histogram", summary="Risk and class, counted", responses=problems(404, 422, 503))
def get_histogram(
    *, here: Here, tenant_id: TenantId, job_id: UUID, chosen: Chosen, bins: Annotated[int, Query(ge=1, le=200)] = 20
) -> Histogram:
    """How many items have which risk, in all and by class. With the filters of the results; also while the job runs."""
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        check_label(chosen, job)
        found = read_histogram(session, job_id, chosen, bins)
    risk = [sum(column) for column in zip(*found.counts.values(), strict=True)] or [0] * bins
    return Histogram(
        bins=bins,
        items=sum(risk),
        flagged=found.flagged,
        threshold=threshold_of(job),
        risk=risk,
        labels=found.counts,
    )


@router.get("/v1/jobs/{job_id}/errors", summary="Failed items", responses=problems(400, 404, 422, 503))
def get_errors(
    *,
    request: Request,
    response: Response,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    code: Annotated[Word | None, Query(description="Only this code.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> ItemFailureList:
    """Code, message and place in the archive of every item that could not be classified, in the order of the archive."""
    after = decode_position(cursor, ResultSort.ITEM) if cursor else None
    chosen = ResultFilter(state=ItemState.FAILED, error_code=code)
    with reading(here.engine) as session:
        get_job(session, tenant_id, job_id)
        check_code(session, job_id, code)
        rows = read_results(session, job_id, chosen=chosen, sort=ResultSort.ITEM, limit=limit + 1, after=after)
    following = None
    if len(rows) > limit:
        position = encode_position(position_of(rows[limit - 1], ResultSort.ITEM), ResultSort.ITEM)
        following = next_url(request, response, base_url(request, here.settings.api), position)
    return ItemFailureList(data=item_failures(rows[:limit]), next=following)


@router.get(
    "/v1/jobs/{job_id}/results.{form}",
    summary="Results as a file",
    response_class=StreamingResponse,
    responses={
        200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()}},
        **problems(404, 422, 503),
    },
)
def export_file(
    *,
    here: Here,
    tenant_id: TenantId,
    job_id: UUID,
    form: ExportFormat,
    chosen: Chosen,
    sort: Sort = ResultSort.ITEM,
    bom: ByteOrderMark = False,
) -> StreamingResponse:
    """CSV, JSON lines or Parquet: exactly the filtered rows, with model and version, streamed.

    A name that is no UTF-8 has \\xNN for each odd byte. In CSV, and nowhere else, control characters are shown likewise, and a
    text that begins with = + - @ gets a leading apostrophe, so that no spreadsheet takes it for a formula.
    """
    if bom and form != ExportFormat.CSV:
        raise refused_value("bom", f"only results.csv may begin with a byte order mark, not results.{form}")
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        decided, truths = read_decided(session, job_id), read_truths(session, job_id)
        alike = here.duplicates.groups(session, job)
    check_label(chosen, job)
    export = Export(job.id, job.model, classes_of(job), chosen, sort, metadata_of(job), bom, decided, alike, truths)
    headers = {"Content-Disposition": content_disposition("attachment", f"{job.name}-results.{form}")}
    return StreamingResponse(export.blocks(here.engine, form), headers=headers, media_type=MEDIA_TYPES[form])


def _with_json(response: Response, value: dict[str, Any]) -> Response:
    """The answer with a body; without FastAPI's second look at every value, which costs more than the query."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    response.body = body
    response.headers["Content-Length"] = str(len(body))
    return response
