"""`AsyncClient`: as `dermq.client.Client`, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self, Unpack

from dermq import calls
from dermq.aiotransport import AsyncTransport
from dermq.answers import read_object
from dermq.client import USER_AGENT, require_success, submission
from dermq.connection import read_address
from dermq.jobinfo import JobHandle, JobInfo
from dermq.options import JobOptions, RowFilters, Source, values
from dermq.parts import OnSent
from dermq.progress import Progress, open_progress
from dermq.results import AsyncResults, Row, list_pages_async
from dermq.retries import Retries
from dermq.waiting import LOST, PATIENCE_S, Poll, deadline_of


class AsyncClient:
    """A connection to one DermQ server, for one event loop. Arguments and errors as of `Client`."""

    def __init__(
        self,
        server: str | None = None,
        *,
        api_key: str | None = None,
        proxy: str | None = None,
        verify: bool | str = True,
        timeout_s: float = 60.0,
        retries: Retries | None = None,
    ) -> None:
        address = read_address(server, api_key, user_agent=USER_AGENT, proxy=proxy, timeout_s=timeout_s, verify=verify)
        self.transport = AsyncTransport(address, retries or Retries())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.transport.close()

    async def screen(
        self,
        source: Source,
        *,
        progress: bool | Progress = False,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> AsyncJob:
        """See Client.screen; a bar only where it is asked for."""
        with open_progress(progress) as shown:
            job = await self._submit(source, idempotency_key, options, shown.sent)
            return await job.wait(timeout_s=timeout_s, progress=shown)

    async def submit(self, source: Source, *, idempotency_key: str | None = None, **options: Unpack[JobOptions]) -> AsyncJob:
        """See Client.submit."""
        return await self._submit(source, idempotency_key, options, None)

    async def _submit(self, source: Source, key: str | None, options: JobOptions, on_sent: OnSent | None) -> AsyncJob:
        steps = submission(source, key, options, on_sent, url=self.transport.url, retries=self.transport.retries)
        return AsyncJob(self, read_object(await self.transport.run(steps)))

    async def job(self, job_id: str) -> AsyncJob:
        """One job by its id."""
        return AsyncJob(self, await self.transport.get_object(calls.get(calls.job_path(job_id))))

    async def jobs(self, *, state: str | None = None, name: str | None = None) -> AsyncIterator[AsyncJob]:
        """See Client.jobs."""
        asked = {"state": state, "name": name, "limit": calls.PAGE_ROWS}
        async for page in list_pages_async(self.transport, f"{calls.API}/jobs", asked):
            for raw in page:
                yield AsyncJob(self, raw)

    async def models(self) -> list[dict[str, Any]]:
        """The models that are served, with their versions."""
        models: list[dict[str, Any]] = (await self.transport.get_object(calls.get(f"{calls.API}/models")))["data"]
        return models


class AsyncJob(JobHandle):
    """See Job."""

    def __init__(self, client: AsyncClient, raw: dict[str, Any]) -> None:
        super().__init__(raw)
        self._client = client

    async def refresh(self) -> Self:
        """Ask how it stands now."""
        return await self._seen(calls.get(calls.job_path(self.id)))

    async def updates(self, *, patience_s: float = PATIENCE_S) -> AsyncIterator[JobInfo]:
        """See Job.updates."""
        async for info in self._updates(Poll(patience_s)):
            yield info

    async def _updates(self, poll: Poll) -> AsyncIterator[JobInfo]:
        yield self.info
        while not self.info.is_terminal and not poll.is_late:
            await asyncio.sleep(poll.next_pause())
            try:
                await self._seen(calls.get(calls.job_path(self.id), deadline=poll.deadline))
            except LOST as error:
                if poll.is_over(error):
                    raise
                continue
            poll.answered()
            yield self.info

    async def wait(self, *, timeout_s: float | None = None, progress: bool | Progress = False) -> Self:
        """See Job.wait."""
        with open_progress(progress) as shown:
            async for info in self._updates(Poll(PATIENCE_S, deadline_of(timeout_s))):
                shown.seen(info)
        require_success(self, timeout_s)
        return self

    def results(self, **filters: Unpack[RowFilters]) -> AsyncResults:
        """Its rows, also while it runs."""
        return AsyncResults(self._client.transport, self.id, values(filters))

    async def errors(self) -> AsyncIterator[Row]:
        """The items that have no result, and why."""
        path = f"{calls.job_path(self.id)}/errors"
        async for page in list_pages_async(self._client.transport, path, {"limit": calls.PAGE_ROWS}):
            for row in page:
                yield row

    async def cancel(self) -> Self:
        """Stop it; the rows so far are kept."""
        return await self._seen(calls.act(self.id, "cancel"))

    async def retry(self, *, codes: list[str] | None = None, label: str | None = None, version: int | None = None) -> Self:
        """See Job.retry."""
        return await self._seen(calls.retry(self.id, codes, label, version))

    async def delete(self) -> None:
        """Delete it with its archive and its rows, for good."""
        await self._client.transport.send(calls.delete(self.id))

    async def _seen(self, call: calls.Call) -> Self:
        self.info = JobInfo(await self._client.transport.get_object(call))
        return self
