"""Large payloads are sent in parts (tus 1.0): a connection that breaks costs a part, and an interrupted program goes on later.

What has been sent is noted with its SHA-256: a file that has changed since is sent from its beginning. Each part goes with its
own SHA-256 (RFC 9530), so that the server counts it as a whole or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

import httpx2

from dermq import calls
from dermq.bodies import Payload
from dermq.calls import API, Call, Value, sendable_name
from dermq.errors import DermqError, ProblemError, UnexpectedAnswerError, UnreachableError, UnreadableError
from dermq.journal import Journal, Sent
from dermq.retries import Retries, asked_pause, is_worth_a_retry
from dermq.steps import Pause, Steps
from dermq.waiting import PATIENCE_S

PART_BYTES = 8 * 1024 * 1024
SMALLEST_PART = 256 * 1024  # parts are halved down to this where connections break
SMALLEST = 64 * 1024 * 1024  # what is smaller goes in one request
OnSent = Callable[[int, int], None]  # bytes sent so far, size
_TUS = {"Tus-Resumable": "1.0.0"}
_ABSENT = (404, 405)  # a server of an earlier release
_NO_METHOD = (405, 501)  # of a proxy that knows GET and POST only
_STALLED = 408
_CONFLICT = 409
_LONGEST_PAUSE_S = 5.0


def submitting(
    payload: Payload,
    options: Mapping[str, Value | None],
    key: str | None,
    *,
    url: str,
    retries: Retries,
    on_sent: OnSent | None = None,
) -> Steps[httpx2.Response]:
    """Submit a payload: a large one in parts, another one in one request.

    Args:
        payload: the body; its name is the job's where `options` has none.
        options: model and the like.
        key: idempotency key; a random one if None.
        url: the server's, as notes of interrupted uploads belong to one server.
        retries: with one attempt, a lost part is not sent again.
        on_sent: called with the bytes sent so far, and the size.

    Returns:
        The answer: the job.

    Raises:
        DermqError: the server refuses it; or the connection was lost for too long, and the same submission goes on from there.
    """
    source = None
    if payload.size >= SMALLEST:
        source = yield from sending_parts(payload, url=url, retries=retries, on_sent=on_sent)
    if source is None:
        return (yield calls.submit(payload, options, key, counted(payload, on_sent)))
    answer = yield calls.submit_source(source, {"name": sendable_name(payload.name), **calls.given(options)}, key)
    _Notes(url, payload).write(None)
    return answer


def counted(payload: Payload, on_sent: OnSent | None) -> calls.Body:
    """The payload's blocks; after each, `on_sent` gets the bytes so far and the size."""

    def blocks() -> Iterator[bytes]:
        sent = 0
        for block in payload.open():
            yield block
            sent += len(block)
            if on_sent:
                on_sent(sent, payload.size)

    return blocks


def sending_parts(
    payload: Payload, *, url: str, retries: Retries, on_sent: OnSent | None = None, journal: Journal | None = None
) -> Steps[str | None]:
    """Send a payload in parts, from where an earlier run of the same has come to. Its note stays.

    Args:
        payload, url, retries, on_sent: as of `submitting`.
        journal: where interrupted uploads are noted; the user's own if None.

    Returns:
        What to name as a job's source; None where the server, or a proxy before it, does not take parts.

    Raises:
        DermqError: as of `submitting`.
    """
    notes = _Notes(url, payload, journal)
    reader = _Reader(payload)
    path = yield from _present(notes.find(), reader)
    if path is None:
        reader = _Reader(payload)
        path = yield from _begin(payload)
    if path is None:
        return None
    try:
        yield from _sending_rest(path, reader, notes, retries, lambda: on_sent and on_sent(reader.offset, payload.size))
    except ProblemError as error:
        if error.status in _NO_METHOD and not reader.offset:
            return None
        raise
    if reader.left or reader.has_more():
        at_end = "more" if reader.has_more() else reader.offset
        raise UnreadableError(f"{payload.name} had {payload.size} bytes, and {at_end} at its end: it was changed meanwhile")
    return f"upload:{path.rpartition('/')[2]}"


class _Notes:
    """The note of one payload. What is no file has none: nobody could tell later whether it is the same."""

    def __init__(self, url: str, payload: Payload, journal: Journal | None = None) -> None:
        self._journal = journal or Journal()
        self._mark = f"{url} {payload.size} {payload.identity}" if payload.identity else None

    def find(self) -> Sent | None:
        return self._journal.find(self._mark) if self._mark else None

    def write(self, sent: Sent | None) -> None:
        if self._mark:
            self._journal.write(self._mark, sent)


class _Reader:
    """The bytes of a payload in order; a part is read once, and kept until it has been counted."""

    def __init__(self, payload: Payload) -> None:
        self.offset = 0
        self.digest = hashlib.sha256()  # of what has been counted
        self._size = payload.size
        self._blocks = (payload.open_listed or payload.open)()
        self._held = bytearray()

    @property
    def left(self) -> int:
        """Bytes that have not been counted."""
        return self._size - self.offset

    def peek(self, size: int) -> bytes:
        """The next bytes, fewer at the end only; none beyond the size that was announced."""
        return self._peek(min(size, self.left))

    def has_more(self) -> bool:
        """Whether there are bytes beyond that size."""
        return not self.left and bool(self._peek(1))

    def _peek(self, size: int) -> bytes:
        while len(self._held) < size and (block := next(self._blocks, None)) is not None:
            self._held += block
        return bytes(self._held[:size])

    def drop(self, size: int) -> None:
        """Count bytes that `peek` has shown."""
        self.digest.update(self._held[:size])
        del self._held[:size]
        self.offset += size


class _Losses:
    """How often bytes were lost since the last that were counted, and for how long they are sent again."""

    def __init__(self, retries: Retries) -> None:
        self._patience_s = PATIENCE_S if retries.attempts > 1 else 0.0
        self._began: float | None = None
        self._pause_s = 0.1
        self.reach = 0  # a lost part may still be stored: the server may have bytes up to here

    @property
    def seen(self) -> bool:
        return self._began is not None

    def pause_after(self, error: DermqError) -> Pause:
        """How long to wait before the next try.

        Raises:
            DermqError: the error, if it is final or there has been no progress for too long.
        """
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        if now - self._began >= self._patience_s or not self._may_pass(error):
            raise error
        asked = asked_pause(error)
        pause, self._pause_s = self._pause_s, min(self._pause_s * 2, _LONGEST_PAUSE_S)
        return Pause(pause if asked is None else asked)

    def _may_pass(self, error: DermqError) -> bool:
        if isinstance(error, ProblemError):
            # A conflict: the part whose answer was lost is being stored, or is there.
            return is_worth_a_retry(error) or error.status in (_STALLED, _CONFLICT)
        return isinstance(error, UnreachableError)


def _begin(payload: Payload) -> Steps[str | None]:
    """The path of a new upload; None where the server takes no parts."""
    name = base64.b64encode(sendable_name(payload.name).encode()).decode()
    headers = {**_TUS, "Upload-Length": str(payload.size), "Upload-Metadata": f"filename {name}"}
    try:
        answer = yield Call("POST", f"{API}/uploads", headers=headers)
    except ProblemError as error:
        if error.status in _ABSENT:
            return None
        raise
    return f"{API}/uploads/{urlsplit(answer.headers.get('Location', '')).path.rpartition('/')[2]}"


def _present(noted: Sent | None, reader: _Reader) -> Steps[str | None]:
    """The noted upload's path, if the server has just that, and the payload begins with it. Then the reader stands there."""
    if noted is None:
        return None
    try:
        there = yield from _offset(noted.path)
    except ProblemError as error:
        if error.status in _ABSENT:
            return None
        raise
    if there != noted.offset:
        return None
    while reader.offset < noted.offset and (block := reader.peek(min(1 << 20, noted.offset - reader.offset))):
        reader.drop(len(block))
    return noted.path if (reader.offset, reader.digest.hexdigest()) == (noted.offset, noted.sha256) else None


def _sending_rest(path: str, reader: _Reader, notes: _Notes, retries: Retries, on_part: Callable[[], object]) -> Steps[None]:
    """Send what the reader has left. Parts become smaller where they are lost, and larger again where they are not."""
    size, losses = PART_BYTES, _Losses(retries)
    while part := reader.peek(size):
        counted_bytes = yield from _append(path, reader.offset, part, losses)
        size = max(size // 2, SMALLEST_PART) if losses.seen else min(size * 2, PART_BYTES)
        if not counted_bytes:
            continue
        reader.drop(counted_bytes)
        notes.write(Sent(path, reader.offset, reader.digest.hexdigest()))
        losses = _Losses(retries)
        on_part()


def _append(path: str, offset: int, part: bytes, losses: _Losses) -> Steps[int]:
    """Send one part; returns how many bytes behind the offset the server has now. None of them, if the part was lost."""
    digest = base64.b64encode(hashlib.sha256(part).digest()).decode()
    headers = {
        **_TUS,
        "Upload-Offset": str(offset),
        "Content-Type": "application/offset+octet-stream",
        "Content-Digest": f"sha-256=:{digest}:",
    }
    losses.reach = max(losses.reach, offset + len(part))
    try:
        yield Call("PATCH", path, headers=headers, content=part, once=True)
        return len(part)
    except (ProblemError, UnreachableError) as error:
        if not losses.seen and isinstance(error, ProblemError) and error.status == _CONFLICT:
            raise  # somebody else sends to this upload
        yield losses.pause_after(error)
        failure = error
    there = yield from _offset_after(path, losses)
    if not offset <= there <= losses.reach:
        raise failure
    return there - offset


def _offset_after(path: str, losses: _Losses) -> Steps[int]:
    """How many bytes are there, asked until the server answers again."""
    while True:
        try:
            return (yield from _offset(path, once=True))
        except (ProblemError, UnreachableError) as error:
            yield losses.pause_after(error)


def _offset(path: str, *, once: bool = False) -> Steps[int]:
    value = (yield Call("HEAD", path, headers=_TUS, once=once)).headers.get("Upload-Offset", "")
    if not value.isdigit():
        raise UnexpectedAnswerError(f"{path}: expected Upload-Offset, got {value!r}: a proxy may be in between")
    return int(value)
