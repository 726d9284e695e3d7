"""DermQ's HTTP API as this command line uses it: time limits on every call, retries where they are safe, errors for people."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from cli.http.problems import error_from_response, unreachable
from cli.http.requestbody import Payload
from cli.output.exit_codes import CliError, ExitCode
from cli.output.replacing import writing
from core.plaintext import plain_text

_Value = str | int | float
API = "/v1"
_TIMEOUT = httpx2.Timeout(60.0, connect=5.0, pool=5.0)
_PAGE_ROWS = 200  # as many as the API gives in one page
_RETRIED_STATUS = frozenset({429, 502, 503, 504})
_LOST = (httpx2.TransportError,)  # refused, reset, timed out: no answer came


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

    def parameters(self) -> dict[str, str | int | float]:
        """The query or JSON parameters that are set."""
        values = {key: getattr(self, key) for key in self.__slots__}
        return _sendable({key: value for key, value in values.items() if value is not None})


class _NotNowError(Exception):
    """The server asked to come back later."""

    def __init__(self, error: CliError, retry_after_s: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s


@cache
def silence_retries() -> None:
    """Once: stamina would log to stdout, which belongs to the command's result."""
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])


class Client:
    """A connection to one server. Use it as a context manager.

    Args:
        url: base URL of the server.
        api_key: sent as a bearer token, if given.
        attempts: tries of a call that may be repeated.
    """

    def __init__(self, url: str, api_key: str | None = None, *, attempts: int = 4) -> None:
        self.url = url.rstrip("/")
        self.replayed = False  # whether the last submission was answered with a job that was there before
        self._attempts = attempts
        headers = {"User-Agent": "dermq-cli", "Accept": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._http = _open_http(self.url, headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.close()

    def submit(
        self, payload: Payload, request: JobRequest, *, key: str | None = None, on_sent: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        """Stream an archive; returns the job.

        Args:
            payload: the body.
            request: model and the like; the payload's name is used where it has none.
            key: idempotency key; a random one by default, so that a lost answer can be asked for again.
            on_sent: called with the number of bytes sent so far.
        """
        headers = {"Idempotency-Key": key or str(uuid.uuid4()), "Content-Type": "application/octet-stream"}
        if payload.exact:
            headers["Content-Length"] = str(payload.size)
        # A name is not a place for \xNN: the server keeps what stands behind the last backslash, as of a Windows path.
        name = payload.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        parameters = {"name": name, **request.parameters()}

        def send() -> httpx2.Response:
            body = _counted(payload.open(), on_sent)
            return self._http.post(f"{API}/jobs", params=parameters, headers=headers, content=body)

        return self._submitted(self._call(send))

    def submit_source(self, source: str, request: JobRequest, *, key: str | None = None) -> dict[str, Any]:
        """Submit images that the server itself can reach: an s3:// prefix, or a path it allows."""
        body = {"source": plain_text(source), **request.parameters()}
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        return self._submitted(self._call(lambda: self._http.post(f"{API}/jobs", json=body, headers=headers)))

    def _submitted(self, response: httpx2.Response) -> dict[str, Any]:
        self.replayed = response.headers.get("Idempotency-Replayed") == "true"
        return _object(response)

    def job(self, job_id: str) -> dict[str, Any]:
        """One job."""
        return self.get(_job_path(job_id))

    def pages(self, path: str, parameters: Mapping[str, str | int | float] | None = None) -> Iterator[list[dict[str, Any]]]:
        """All pages of a list, by its `next` links."""
        page = self.get(path, parameters)
        while True:
            yield page["data"]
            following = page.get("next")
            if not following:
                return
            page = self.get(str(following))

    def rows(self, path: str, count: int) -> Iterator[dict[str, Any]]:
        """The first rows of a list, at most `count`; no page is asked for that is not needed."""
        pages = self.pages(path, {"limit": min(count, _PAGE_ROWS)})
        return islice((row for page in pages for row in page), count)

    def get(self, path: str, parameters: Mapping[str, str | int | float] | None = None) -> dict[str, Any]:
        """GET one JSON object; a path may also be a link that the server gave."""
        return _object(self._call(lambda: self._http.get(path, params=parameters and _sendable(parameters))))

    def act(self, job_id: str, action: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """POST …/cancel or …/retry; both may be repeated without harm."""
        content = None if body is None else json.dumps(body).encode()  # ASCII, whatever the user's words hold
        headers = {"Content-Type": "application/json"} if content else {}
        return _object(self._call(lambda: self._http.post(f"{_job_path(job_id)}/{action}", content=content, headers=headers)))

    def delete(self, job_id: str) -> None:
        """Remove a job and its results."""
        self._call(lambda: self._http.delete(_job_path(job_id)))

    def save_results(
        self, job_id: str, suffix: str, path: Path, parameters: Mapping[str, str | int | float] | None = None
    ) -> None:
        """Stream …/results.<suffix> into a file, which appears whole or not at all; `-` is stdout."""
        with writing(path) as file:
            for block in self.result_blocks(job_id, suffix, parameters):
                file.write(block)

    def result_blocks(
        self, job_id: str, suffix: str, parameters: Mapping[str, str | int | float] | None = None
    ) -> Iterator[bytes]:
        """The bytes of …/results.<suffix>."""
        return self._blocks(f"{_job_path(job_id)}/results.{suffix}", parameters)

    def put_truth(
        self, job_id: str, table: bytes | None, filename: str, parameters: Mapping[str, str | int | float]
    ) -> dict[str, Any]:
        """PUT …/truth: a CSV, or, with None, what the job's archive says itself."""
        from urllib.parse import quote

        path, content = f"{_job_path(job_id)}/truth", b'{"source": "archive"}' if table is None else table
        headers = {"Content-Type": "application/json" if table is None else "text/csv"}
        if filename:
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(plain_text(filename), safe='')}"
        sent = _sendable(parameters)
        return _object(self._call(lambda: self._http.put(path, params=sent, content=content, headers=headers)))

    def save_report(self, job_id: str, suffix: str, path: Path) -> None:
        """Stream …/report.<suffix> into a file, which appears whole or not at all."""
        with writing(path) as file:
            for block in self._blocks(f"{_job_path(job_id)}/report.{suffix}", None):
                file.write(block)

    def _blocks(self, path: str, parameters: Mapping[str, str | int | float] | None) -> Iterator[bytes]:
        sent = parameters and _sendable(parameters)
        with self._told(), self._http.stream("GET", path, params=sent, headers={"Accept": "*/*"}) as response:
            if response.is_error:
                response.read()
                raise error_from_response(response)
            yield from response.iter_bytes()

    def _call(self, send: Callable[[], httpx2.Response]) -> httpx2.Response:
        """Send, and send again while nothing is lost by it: every call here can be repeated (submits by their key)."""
        with self._told():
            try:
                return _checked(send())
            except Exception as error:
                if _should_retry(error) is False:
                    raise
                return self._again(send, error)

    def _again(self, send: Callable[[], httpx2.Response], first: Exception) -> httpx2.Response:
        """The attempts after the first one, which has failed: it stands for the first of stamina's."""
        import stamina  # with tenacity: a tenth of a command's start

        silence_retries()
        for attempt in stamina.retry_context(on=_should_retry, attempts=self._attempts, timeout=20.0, wait_max=2.0):
            with attempt:
                if attempt.num == 1:
                    raise first
                return _checked(send())
        raise AssertionError("retry_context either returns or raises")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except _NotNowError as error:
            raise error.error from error
        except _LOST as error:
            raise unreachable(self.url, error) from error
        except httpx2.InvalidURL as error:
            raise unreachable(self.url, error) from error


def _open_http(url: str, headers: Mapping[str, str]) -> httpx2.Client:
    try:
        return httpx2.Client(base_url=url, headers=headers, timeout=_TIMEOUT)
    except (ValueError, ImportError) as error:  # a proxy of a kind that httpx2 does not know, or whose package is absent
        raise CliError(
            f"the proxy that the environment names cannot be used: {error}",
            ExitCode.USAGE,
            "Set http_proxy, https_proxy or all_proxy to an http://, https:// or socks5:// address, or unset them.",
        ) from error


def _should_retry(error: Exception) -> bool | float:
    if isinstance(error, _NotNowError):
        return error.retry_after_s
    # A read timeout means that the server is busy with this very call: asking again would double its work.
    return isinstance(error, _LOST) and not isinstance(error, (httpx2.ReadTimeout, httpx2.UnsupportedProtocol))


def _checked(response: httpx2.Response) -> httpx2.Response:
    if response.is_success:
        return response
    error = error_from_response(response)
    if response.status_code in _RETRIED_STATUS:
        raise _NotNowError(error, _retry_after(response))
    raise error


def _retry_after(response: httpx2.Response) -> float:
    """Seconds of Retry-After (RFC 9110, 10.2.3; the date form is not used by DermQ), at most five."""
    value = response.headers.get("retry-after", "")
    return min(float(value), 5.0) if value.isdigit() else 1.0


def _object(response: httpx2.Response) -> dict[str, Any]:
    try:
        value = response.json()
    except ValueError:  # not JSON, or not even text
        value = None
    if not isinstance(value, dict):
        raise CliError(
            f"{response.request.url} answers, but not as DermQ does: expected a JSON object, got {response.text[:80]!r}",
            ExitCode.UNREACHABLE,
            "Check --server (or DERMQ_SERVER); a proxy may be in between.",
        )
    return value


def _counted(blocks: Iterator[bytes], on_sent: Callable[[int], None] | None) -> Iterator[bytes]:
    sent = 0
    for block in blocks:
        yield block
        sent += len(block)
        if on_sent:
            on_sent(sent)


def _job_path(job_id: str) -> str:
    from urllib.parse import quote

    return f"{API}/jobs/{quote(plain_text(job_id), safe='')}"


def _sendable(parameters: Mapping[str, _Value]) -> dict[str, _Value]:
    """Parameters whose texts are plain Unicode, as URLs and JSON must have it."""
    return {key: plain_text(value) if isinstance(value, str) else value for key, value in parameters.items()}
