"""The requests of DermQ's HTTP API, as plain values: what `Client` and `AsyncClient` both send."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

if TYPE_CHECKING:
    from dermq.bodies import Payload

API = "/v1"
PAGE_ROWS = 200  # as many as the API gives in one page
Value = str | int | float | list[str]
Body = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `body` gives the bytes anew for each try; with `once` there is one try.

    `deadline` is a moment of `time.monotonic`: no try begins after it, and none waits for an answer beyond it.
    """

    method: str
    path: str
    parameters: Mapping[str, Value] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    body: Body | None = None
    once: bool = False
    deadline: float | None = None


def sendable(text: str) -> str:
    """Text for URLs and JSON: bytes of file names that are no UTF-8 become `\\xNN`, NUL becomes `\\x00`."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:
            text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\x00", "\\x00")


def sendable_name(name: str) -> str:
    """A file's or job's name for a server: bytes that are no UTF-8 become U+FFFD, other lone surrogates `?`. NUL goes.

    It is no place for `\\xNN`: the server keeps what stands behind the last backslash, as of a Windows path.
    """
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        encoded = name.encode("utf-8", "replace")
    return encoded.decode("utf-8", "replace").replace("\x00", "")


def given(parameters: Mapping[str, Value | None] | None) -> dict[str, Value]:
    """The parameters that have a value, their texts made sendable."""
    found = {key: value for key, value in (parameters or {}).items() if value is not None}
    ways = {"name": sendable_name}  # as the server keeps it, so that a search finds it
    return {key: ways.get(key, sendable)(value) if isinstance(value, str) else value for key, value in found.items()}


def job_path(job_id: str) -> str:
    """Path of one job. An id cannot become another address."""
    return f"{API}/jobs/{quote(sendable(job_id), safe='')}"


def get(path: str, parameters: Mapping[str, Value | None] | None = None, *, deadline: float | None = None) -> Call:
    """GET one JSON object."""
    return Call("GET", path, given(parameters), deadline=deadline)


def following(path: str, page: Mapping[str, Any]) -> Call | None:
    """The request for the next page of a list, by its `next` link; None after the last one.

    Only the link's query is taken: behind a proxy the server may not know the address under which it was asked.
    """
    link = page.get("next")
    return Call("GET", path, parse_qs(urlsplit(str(link)).query)) if link else None


def submit(payload: Payload, options: Mapping[str, Value | None], key: str | None, body: Body | None = None) -> Call:
    """POST the bytes of an archive."""
    headers = {"Idempotency-Key": key or str(uuid.uuid4()), "Content-Type": "application/octet-stream"}
    if payload.exact:
        headers["Content-Length"] = str(payload.size)
    parameters = {"name": sendable_name(payload.name), **given(options)}
    return Call("POST", f"{API}/jobs", parameters, headers, body=body or payload.open)


def submit_source(source: str, options: Mapping[str, Value | None], key: str | None) -> Call:
    """POST the address of images that the server itself can reach."""
    content = json.dumps({"source": sendable(source), **given(options)}, separators=(",", ":"), ensure_ascii=False).encode()
    headers = {"Idempotency-Key": key or str(uuid.uuid4()), "Content-Type": "application/json"}
    return Call("POST", f"{API}/jobs", {}, headers, content)


def act(job_id: str, action: str, body: Mapping[str, Any] | None = None) -> Call:
    """POST …/cancel or …/retry; both may be repeated without harm."""
    content = None if body is None else json.dumps(body).encode()  # ASCII, whatever the user's words hold
    headers = {"Content-Type": "application/json"} if content else {}
    return Call("POST", f"{job_path(job_id)}/{action}", {}, headers, content)


def retry(job_id: str, codes: list[str] | None, label: str | None, version: int | None) -> Call:
    """POST …/retry with what is given of a choice of items and of a version."""
    asked = {"codes": codes, "label": label, "version": version}
    return act(job_id, "retry", {key: value for key, value in asked.items() if value})


def delete(job_id: str) -> Call:
    """DELETE a job and its results."""
    return Call("DELETE", job_path(job_id))


def download(job_id: str, file: str, parameters: Mapping[str, Value | None] | None = None) -> Call:
    """GET a file of a job, such as `results.csv` or `report.html`."""
    return Call("GET", f"{job_path(job_id)}/{file}", given(parameters), {"Accept": "*/*"})


def put_truth(job_id: str, table: bytes | None, filename: str, parameters: Mapping[str, Value | None]) -> Call:
    """PUT …/truth: a CSV, or, with None, what the job's archive says itself."""
    content = b'{"source": "archive"}' if table is None else table
    headers = {"Content-Type": "application/json" if table is None else "text/csv"}
    if filename:
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(sendable(filename), safe='')}"
    return Call("PUT", f"{job_path(job_id)}/truth", given(parameters), headers, content)
