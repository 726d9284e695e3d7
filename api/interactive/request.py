"""A request to classify one image, from its bytes to the end of its job: in the API itself, or by the queue."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Self
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from api.intake.names import clean_filename
from api.intake.requests import Intake
from api.intake.submission import Submission, is_repeated, make_job, submit
from api.intake.uploads import UploadSink
from api.interactive.direct import Attempt, Wanted
from api.metrics import CLASSIFICATIONS
from api.resources import Resources
from api.schemas import JobParameters
from core.access.callers import Caller
from core.canary import CANARY, is_canary
from core.db.engine import reading
from core.db.jobs import NewJob, read_progress
from core.db.models import TERMINAL_STATES
from core.errors import ItemError, ItemErrorCode
from core.ids import new_id
from core.imaging.sniffing import describe_bytes, other_image_format, sniff_format

_FIRST_POLL_S, _LAST_POLL_S = 0.005, 0.1


class OneImage:
    """Use it as a context manager around the intake of the image: what was begun is ended with it."""

    def __init__(self, here: Resources, caller: Caller, idempotency_key: str | None, limit_s: float) -> None:
        """Nothing begins yet.

        Args:
            here: what the process has opened.
            caller: whose image it is.
            idempotency_key: of the request.
            limit_s: how long it waits for the end of the job; negative: not at all.
        """
        self._here = here
        self._caller = caller
        self._key = idempotency_key
        self._limit_s = limit_s
        self._job_id = new_id()
        self._attempt: Attempt | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._drop()

    def begin(self, sink: UploadSink, asked: JobParameters, filename: str) -> None:
        """Classify the image that was received, while the storage takes it. What is unusual is left to the queue.

        Raises:
            ItemError: it is no image; nothing of it is to be kept.
        """
        _check_is_image(sink)
        data = sink.held
        if not data or self._limit_s <= 0 or asked.error_budget is not None or asked.path_column:
            return
        name = clean_filename(filename)
        new = self._choose_label(self._make_job(Intake(asked, {"kind": "upload"}, name)))
        wanted = Wanted(new.model, new.version, new.label, name, self._job_id)
        self._attempt = self._here.direct.begin(wanted, data, self._limit_s / 2)

    async def run(self, intake: Intake) -> tuple[UUID, bool]:
        """The job's id, and whether the job has ended."""
        began = asyncio.get_running_loop().time()
        new = self._make_job(intake)
        if await self._finish(new):
            CLASSIFICATIONS.labels("direct").inc()
            return new.id, True
        CLASSIFICATIONS.labels("queue").inc()
        job, _ = await run_in_threadpool(submit, self._here, new)
        if self._limit_s < 0:
            return job.id, False
        left_s = self._limit_s - (asyncio.get_running_loop().time() - began)
        return job.id, await self._wait_for_end(job.id, left_s)

    async def _finish(self, new: NewJob) -> bool:
        """Whether the whole job is in the ledger. If not, nothing is left of the attempt: the queue's way has the same id."""
        if self._key is not None and await run_in_threadpool(is_repeated, self._here, new):
            await self._drop()
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return False
        return await self._here.direct.finish(attempt, self._choose_label(new))

    async def _drop(self) -> None:
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            await self._here.direct.drop(attempt)

    def _make_job(self, intake: Intake) -> NewJob:
        submission = Submission(
            self._caller, intake.parameters, intake.source, intake.source_name, intake.upload, True, self._key
        )
        return replace(make_job(self._here, submission), id=self._job_id)

    def _choose_label(self, new: NewJob) -> NewJob:
        """As submission does; where the model has no canary, the queue's way finds that out."""
        return replace(new, label=CANARY) if is_canary(new, self._here.settings.api.canary_percent) else new

    async def _wait_for_end(self, job_id: UUID, limit_s: float) -> bool:
        """Whether the job ended in time. Looks often at first, when an answer is likely, and rarely later."""
        end = asyncio.get_running_loop().time() + limit_s
        pause = _FIRST_POLL_S
        while not await run_in_threadpool(_has_ended, self._here, job_id):
            left = end - asyncio.get_running_loop().time()
            if left <= 0 or self._here.stopping.is_set():
                return False
            await asyncio.sleep(min(pause, left))
            pause = min(pause * 1.2, _LAST_POLL_S)
        return True


def _has_ended(here: Resources, job_id: UUID) -> bool:
    with reading(here.engine) as session:
        progress = read_progress(session, job_id)
    return progress is None or progress.state in TERMINAL_STATES


def _check_is_image(sink: UploadSink) -> None:
    if not sink.head or sniff_format(sink.head):
        return  # an empty body is refused at commit
    other = other_image_format(sink.head)
    if other:
        raise ItemError(
            ItemErrorCode.UNSUPPORTED_FORMAT, f"expected a JPEG, PNG, WebP, TIFF, BMP, GIF or HEIC image, got {other}"
        )
    raise ItemError(
        ItemErrorCode.NOT_AN_IMAGE, f"expected one image, got {describe_bytes(sink.head)}; archives go to POST /v1/jobs"
    )
