"""An idempotency key made of what is submitted: the same images with the same wishes are the same job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.http.client import JobRequest
from cli.http.problems import client_error
from cli.http.requestbody import folder_entries, read_payload
from dermq.bodies import list_entries
from dermq.errors import UnreadableError

_KIND = "dermq submit 1"  # another number, another key for the same content


def content_key(paths: Sequence[Path], request: JobRequest, *, sent: bool) -> str | None:
    """The key of a submission; None where the content is not on this machine (s3://).

    A file alone counts by its bytes; folders and several files by the names, sizes and times of the files, since they may be
    gigabytes.

    Args:
        paths: the file or folder, or several of both; none for an address.
        request: model and the like.
        sent: whether the server gets the bytes, or reads the path by itself.

    Raises:
        CliError: it cannot be read.
    """
    if not paths:
        return None
    place = "" if sent else str(paths[0].resolve())
    names = paths[0].resolve().name if len(paths) == 1 else [path.resolve().name for path in paths]
    digest = hashlib.sha256(json.dumps([_KIND, place, names, request.parameters()], sort_keys=True).encode())
    try:
        for part in _content(paths):
            digest.update(part)
    except UnreadableError as error:
        raise client_error(error) from error
    return f"content-{digest.hexdigest()}"


def _content(paths: Sequence[Path]) -> Iterator[bytes]:
    if len(paths) == 1 and not paths[0].is_dir():
        yield from read_payload(paths[0]).open()
        return
    entries = folder_entries(paths[0]) if len(paths) == 1 else list_entries(paths)
    for entry in entries:
        yield f"{entry.name!r} {entry.size} {entry.path.lstat().st_mtime_ns}\n".encode()
