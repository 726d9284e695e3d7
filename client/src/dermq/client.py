"""`Client`: DermQ's HTTP API from Python, one call after the other. `dermq.aio` has the same for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, Unpack

import httpx2

from dermq import calls
from dermq.answers import read_object
from dermq.bodies import bytes_payload, read_payload
from dermq.connection import read_address
from dermq.errors import JobFailedError, WaitTimeoutError
from dermq.jobinfo import JobHandle, JobInfo
from dermq.options import JobOptions, RowFilters, Source, address_of, values
from dermq.parts import OnSent, submitting
from dermq.progress import Progress, open_progress
from dermq.results import Results, Row, list_pages
from dermq.retries import Retries
from dermq.steps import Steps
from dermq.transport import Transport
from dermq.waiting import PATIENCE_S, Poll, deadline_of, updates

USER_AGENT = "dermq-client"


class Client:
    """A connection to one DermQ server. Use it as a context manager, or call `close`. Threads may share it.

    Args:
        server: base URL. Default: `DERMQ_SERVER`, else http://127.0.0.1:8080.
        api_key: Default: `DERMQ_API_KEY`; none is sent where there is none.
        proxy: a proxy for this server. Default: the environment's, and none for an address of this machine.
        verify: True: certificates that the system trusts, or `SSL_CERT_FILE`; a path: those in that file; False: any.
        timeout_s: for each read and write, seconds.
        retries: how often a call is sent again; submissions carry an idempotency key, so that none makes two jobs.

    Raises:
        ConfigurationError: the proxy that the environment names cannot be used.
    """

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
        self.transport = Transport(address, retries or Retries())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()

    def screen(
        self,
        source: Source,
        *,
        progress: bool | Progress = True,
        timeout_s: float | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submit images and wait for their results.

        Args:
            source: path of an archive, an image, a table or a folder; several paths; bytes; or an address such as s3://….
            progress: a bar by tqdm or rich, in notebooks too; False for none.
            timeout_s: how long to wait at most for the job once it is submitted, seconds.
            idempotency_key: a word of yours; the same key with the same body gives the same job. Default: a random one.
            options: see JobOptions.

        Raises:
            JobFailedError: the job failed or was cancelled.
            WaitTimeoutError: it goes on.
            ProblemError, UnreachableError, ConfigurationError: it could not be submitted, or the server stays away.
        """
        with open_progress(progress) as shown:
            job = self._submit(source, idempotency_key, options, shown.sent)
            return job.wait(timeout_s=timeout_s, progress=shown)

    def submit(self, source: Source, *, idempotency_key: str | None = None, **options: Unpack[JobOptions]) -> Job:
        """Submit images, and do not wait. Arguments and errors as of `screen`."""
        return self._submit(source, idempotency_key, options, None)

    def _submit(self, source: Source, key: str | None, options: JobOptions, on_sent: OnSent | None) -> Job:
        steps = submission(source, key, options, on_sent, url=self.transport.url, retries=self.transport.retries)
        return Job(self, read_object(self.transport.run(steps)))

    def job(self, job_id: str) -> Job:
        """One job by its id."""
        return Job(self, self.transport.get_object(calls.get(calls.job_path(job_id))))

    def jobs(self, *, state: str | None = None, name: str | None = None) -> Iterator[Job]:
        """All jobs, the newest first, page by page; with `state` or `name`, those in that state, or with it in their name."""
        for page in list_pages(self.transport, f"{calls.API}/jobs", {"state": state, "name": name, "limit": calls.PAGE_ROWS}):
            yield from (Job(self, raw) for raw in page)

    def models(self) -> list[dict[str, Any]]:
        """The models that are served, with their versions."""
        models: list[dict[str, Any]] = self.transport.get_object(calls.get(f"{calls.API}/models"))["data"]
        return models


class Job(JobHandle):
    """A job, as it was last seen, and what can be done with it."""

    def __init__(self, client: Client, raw: dict[str, Any]) -> None:
        super().__init__(raw)
        self._client = client

    def refresh(self) -> Self:
        """Ask how it stands now."""
        return self._refreshed(None)

    def _refreshed(self, deadline: float | None) -> Self:
        return self._seen(calls.get(calls.job_path(self.id), deadline=deadline))

    def updates(self, *, patience_s: float = PATIENCE_S, on_lost: Callable[[], None] | None = None) -> Iterator[JobInfo]:
        """How it stands, again and again until it has ended; the last one is the end.

        Args:
            patience_s: how long a server that does not answer is asked again, seconds.
            on_lost: called each time that it does not.

        Raises:
            ProblemError, UnreachableError: the server stays away, or the job is gone.
        """
        return self._updates(Poll(patience_s), on_lost)

    def _updates(self, poll: Poll, on_lost: Callable[[], None] | None = None) -> Iterator[JobInfo]:
        return updates(self.info, lambda: self._refreshed(poll.deadline).info, poll, on_lost=on_lost)

    def wait(self, *, timeout_s: float | None = None, progress: bool | Progress = False) -> Self:
        """Wait until it has ended.

        Args:
            timeout_s: at most so many seconds.
            progress: True for a bar.

        Raises:
            JobFailedError: it failed or was cancelled.
            WaitTimeoutError: it has not ended in time, and goes on.
        """
        with open_progress(progress) as shown:
            for info in self._updates(Poll(PATIENCE_S, deadline_of(timeout_s))):
                shown.seen(info)
        require_success(self, timeout_s)
        return self

    def results(self, **filters: Unpack[RowFilters]) -> Results:
        """Its rows, also while it runs."""
        return Results(self._client.transport, self.id, values(filters))

    def errors(self) -> Iterator[Row]:
        """The items that have no result, and why."""
        path = f"{calls.job_path(self.id)}/errors"
        for page in list_pages(self._client.transport, path, {"limit": calls.PAGE_ROWS}):
            yield from page

    def cancel(self) -> Self:
        """Stop it; the rows so far are kept."""
        return self._seen(calls.act(self.id, "cancel"))

    def retry(self, *, codes: list[str] | None = None, label: str | None = None, version: int | None = None) -> Self:
        """Run its failed items again: all, or those with one of `codes`; on another version, if one is named."""
        return self._seen(calls.retry(self.id, codes, label, version))

    def delete(self) -> None:
        """Delete it with its archive and its rows, for good."""
        self._client.transport.send(calls.delete(self.id))

    def _seen(self, call: calls.Call) -> Self:
        self.info = JobInfo(self._client.transport.get_object(call))
        return self


def submission(
    source: Source,
    key: str | None,
    options: JobOptions,
    on_sent: OnSent | None,
    *,
    url: str,
    retries: Retries,
) -> Steps[httpx2.Response]:
    """The requests that submit a source; the last one's answer is the job. Files are looked for and read on the way."""
    address = address_of(source)
    if address is not None:
        return (yield calls.submit_source(address, values(options), key))
    payload = bytes_payload(source, options.get("name") or "images") if isinstance(source, bytes) else read_payload(source)
    return (yield from submitting(payload, values(options), key, url=url, retries=retries, on_sent=on_sent))


def require_success(job: Any, waited_s: float | None) -> None:
    """Raises JobFailedError for a job that ended otherwise, WaitTimeoutError for one that has not ended."""
    if not job.info.is_terminal:
        raise WaitTimeoutError(f"job {job.id} is {job.state} after {waited_s:g} s, as last seen; it goes on", job)
    if job.state in ("failed", "cancelled"):
        raise JobFailedError(f"job {job.id} ({job.name}) {job.state}: {job.info.error or 'it was stopped'}", job)
