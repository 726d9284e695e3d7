"""DermQ's HTTP API as this command line uses it: the transport of `dermq`, with errors for people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from cli.http.problems import client_error
from cli.output.replacing import writing
from core.plaintext import plain_text
from dermq import calls
from dermq.answers import read_object
from dermq.connection import read_address
from dermq.errors import DermqError
from dermq.jobinfo import JobInfo
from dermq.results import list_pages
from dermq.retries import Retries
from dermq.transport import Transport
from dermq.waiting import PATIENCE_S, Poll, updates

if TYPE_CHECKING:
    import httpx2

    from dermq.bodies import Payload

API = calls.API
_Value = calls.Value
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a job is asked for besides its images. None leaves the choice to the server."""

    model: str | None = None
    label: str | None = None
    version: int | None = None
    name: str | None = None
    priority: str | None = None
    error_budget: float | None = None
    path_column: str | None = None
    tags: list[str] | None = None

    def parameters(self) -> dict[str, _Value]:
        """The query or JSON parameters that are set."""
        return calls.given({key: getattr(self, key) for key in self.__slots__})


class Client:
    """A connection to one server. Use it as a context manager.

    Args:
        url: base URL of the server.
        api_key: sent as a bearer token, if given.
        attempts: tries of a call that may be repeated.
        sleep: waits some seconds between two tries; the system's clock if not given.
    """

    def __init__(
        self, url: str, api_key: str | None = None, *, attempts: int = 4, sleep: Callable[[float], None] | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.replayed = False  # whether the last submission was answered with a job that was there before
        with self._told():
            address = read_address(url, api_key or "", user_agent="dermq-cli", proxy=None, timeout_s=_TIMEOUT_S, verify=True)
            waits = {"sleep": sleep} if sleep else {}
            self._transport = Transport(address, Retries(attempts), **waits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._transport.close()

    def submit(
        self, payload: Payload, request: JobRequest, *, key: str | None = None, on_sent: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        """Stream an archive; returns the job. A large file goes in parts, from where an earlier run has come to.

        Args:
            payload: the body.
            request: model and the like; the payload's name is used where it has none.
            key: idempotency key; a random one by default, so that a lost answer can be asked for again.
            on_sent: called with the number of bytes sent so far.
        """
        from dermq.parts import submitting

        shown = (lambda sent, _: on_sent(sent)) if on_sent else None
        transport = self._transport
        steps = submitting(payload, request.parameters(), key, url=transport.url, retries=transport.retries, on_sent=shown)
        return self._submitted(lambda: transport.run(steps))

    def submit_source(self, source: str, request: JobRequest, *, key: str | None = None) -> dict[str, Any]:
        """Submit images that the server itself can reach: an address such as s3://…, or a path it allows."""
        return self._submitted(lambda: self._transport.send(calls.submit_source(source, request.parameters(), key)))

    def _submitted(self, send: Callable[[], httpx2.Response]) -> dict[str, Any]:
        with self._told():
            response = send()
            self.replayed = response.headers.get("Idempotency-Replayed") == "true"
            return read_object(response)

    def job(self, job_id: str) -> dict[str, Any]:
        """One job."""
        return self.get(calls.job_path(job_id))

    def updates(self, job: JobInfo, *, on_lost: Callable[[], None]) -> Iterator[JobInfo]:
        """The job as it goes, until it has ended; `on_lost` is called when the server does not answer, which is waited for."""
        with self._told():
            yield from updates(job, lambda: self._ask(job.id), Poll(PATIENCE_S), on_lost=on_lost)

    def _ask(self, job_id: str) -> JobInfo:
        return JobInfo(self._transport.get_object(calls.get(calls.job_path(job_id))))

    def pages(self, path: str, parameters: Mapping[str, _Value] | None = None) -> Iterator[list[dict[str, Any]]]:
        """All pages of a list, by its `next` links."""
        with self._told():
            yield from list_pages(self._transport, path, parameters or {})

    def rows(self, path: str, count: int, parameters: Mapping[str, _Value] | None = None) -> Iterator[dict[str, Any]]:
        """The first rows of a list, at most `count`; no page is asked for that is not needed."""
        pages = self.pages(path, {**(parameters or {}), "limit": min(count, calls.PAGE_ROWS)})
        return islice((row for page in pages for row in page), count)

    def get(self, path: str, parameters: Mapping[str, _Value] | None = None) -> dict[str, Any]:
        """GET one JSON object."""
        return self._object(calls.get(path, parameters))

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Stop a job; returns it."""
        return self._object(calls.act(job_id, "cancel"))

    def retry(self, job_id: str, codes: list[str] | None, label: str | None, version: int | None) -> dict[str, Any]:
        """Run a job's failed items again; returns the job."""
        return self._object(calls.retry(job_id, codes, label, version))

    def delete(self, job_id: str) -> None:
        """Remove a job and its results."""
        with self._told():
            self._transport.send(calls.delete(job_id))

    def save_results(self, job_id: str, suffix: str, path: Path, parameters: Mapping[str, _Value] | None = None) -> None:
        """Stream …/results.<suffix> into a file, which appears whole or not at all; `-` is stdout."""
        self._save(path, self.result_blocks(job_id, suffix, parameters))

    def result_blocks(self, job_id: str, suffix: str, parameters: Mapping[str, _Value] | None = None) -> Iterator[bytes]:
        """The bytes of …/results.<suffix>."""
        return self._blocks(calls.download(job_id, f"results.{suffix}", parameters))

    def put_truth(self, job_id: str, table: bytes | None, filename: str, parameters: Mapping[str, _Value]) -> dict[str, Any]:
        """PUT …/truth: a CSV, or, with None, what the job's archive says itself."""
        return self._object(calls.put_truth(job_id, table, plain_text(filename), parameters))

    def save_report(self, job_id: str, suffix: str, path: Path) -> None:
        """Stream …/report.<suffix> into a file, which appears whole or not at all."""
        self._save(path, self._blocks(calls.download(job_id, f"report.{suffix}")))

    def _save(self, path: Path, blocks: Iterator[bytes]) -> None:
        with writing(path) as file:
            for block in blocks:
                file.write(block)

    def _blocks(self, call: calls.Call) -> Iterator[bytes]:
        with self._told(), self._transport.stream(call) as response:
            yield from response.iter_bytes()

    def _object(self, call: calls.Call) -> dict[str, Any]:
        with self._told():
            return self._transport.get_object(call)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DermqError as error:
            raise client_error(error) from error
