"""Large files are sent in parts (tus 1.0): a command that was interrupted goes on where it was, when it is run again.

What has been sent is written down with its SHA-256: a file that has changed since is sent from its beginning.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from core.datafolder import default_data_dir
from dermq.bodies import Payload
from dermq.calls import API, Call, sendable
from dermq.errors import ProblemError, UnexpectedAnswerError
from dermq.transport import Transport

PART_BYTES = 8 * 1024 * 1024
SMALLEST = 64 * 1024 * 1024  # what is smaller goes in one request
_TUS = {"Tus-Resumable": "1.0.0"}
_ABSENT = (404, 405)  # a server of an earlier release


@dataclass(frozen=True, slots=True)
class Sent:
    """How far an upload has come.

    Attributes:
        path: of the upload at the server.
        offset: bytes that are there.
        sha256: of these bytes, in hex.
    """

    path: str
    offset: int
    sha256: str


class Journal:
    """Uploads that have not come to their end, in a small file of the user's."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or default_data_dir().expanduser() / "uploads.json"

    def find(self, mark: str) -> Sent | None:
        """How far an earlier run has come; None where there was none, or its note cannot be read."""
        try:
            return Sent(**self._read()[mark])
        except (KeyError, TypeError):
            return None

    def write(self, mark: str, sent: Sent | None) -> None:
        """Note it, or with None forget it. Where that cannot be written, an interrupted command begins anew."""
        others = {key: value for key, value in self._read().items() if key != mark}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps(others | ({} if sent is None else {mark: asdict(sent)})))
        except OSError:
            return

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def send_parts(
    transport: Transport, payload: Payload, on_sent: Callable[[int], None] | None = None, journal: Journal | None = None
) -> str | None:
    """Send a payload whose size is known in parts, from where an earlier run of the same has come to.

    Returns:
        What to name as a job's source; None where the server does not take parts.

    Raises:
        dermq.errors.DermqError: it was interrupted, and goes on in the next run; or the server refuses it.
    """
    journal = journal or Journal()
    mark = f"{transport.url} {sendable(payload.name)} {payload.size}"
    sent = _present(transport, journal.find(mark), payload) or _begin(transport, payload)
    if sent is None:
        return None
    done, whole = 0, hashlib.sha256()
    for part in _parts(payload):
        whole.update(part)
        if done >= sent.offset:
            _send(transport, sent.path, done, part)
            journal.write(mark, Sent(sent.path, done + len(part), whole.hexdigest()))
        done += len(part)
        if on_sent is not None:
            on_sent(done)
    journal.write(mark, None)
    return f"upload:{sent.path.rpartition('/')[2]}"


def _begin(transport: Transport, payload: Payload) -> Sent | None:
    name = base64.b64encode(sendable(payload.name).encode()).decode()
    headers = {**_TUS, "Upload-Length": str(payload.size), "Upload-Metadata": f"filename {name}"}
    try:
        answer = transport.send(Call("POST", f"{API}/uploads", headers=headers))
    except ProblemError as error:
        if error.status in _ABSENT:
            return None
        raise
    return Sent(f"{API}/uploads/{urlsplit(answer.headers.get('Location', '')).path.rpartition('/')[2]}", 0, "")


def _present(transport: Transport, noted: Sent | None, payload: Payload) -> Sent | None:
    """What was noted, if the server still has just that, and the file still begins with it."""
    if noted is None:
        return None
    try:
        offset = _offset(transport, noted.path)
    except ProblemError as error:
        if error.status in _ABSENT:
            return None
        raise
    head, done = hashlib.sha256(), 0
    for part in _parts(payload):
        if done >= noted.offset:
            break
        head.update(part)
        done += len(part)
    return noted if (offset, done, head.hexdigest()) == (noted.offset, noted.offset, noted.sha256) else None


def _send(transport: Transport, path: str, offset: int, part: bytes) -> None:
    digest = base64.b64encode(hashlib.sha256(part).digest()).decode()
    headers = {
        **_TUS,
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Digest": f"sha-256=:{digest}:",
    }
    try:
        transport.send(Call("PATCH", path, headers=headers, content=part))
    except ProblemError as error:
        # A second try of a part whose first answer was lost: it is there.
        if error.status != 409 or _offset(transport, path) != offset + len(part):
            raise


def _offset(transport: Transport, path: str) -> int:
    value = transport.send(Call("HEAD", path, headers=_TUS)).headers.get("Upload-Offset", "")
    if not value.isdigit():
        raise UnexpectedAnswerError(f"{path}: expected Upload-Offset, got {value!r}: a proxy may be in between")
    return int(value)


def _parts(payload: Payload) -> Iterator[bytes]:
    """The payload in parts of one size, the last one shorter."""
    held = bytearray()
    for block in payload.open():
        held += block
        while len(held) >= PART_BYTES:
            yield bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
    if held:
        yield bytes(held)
