"""An idempotency key made of what is submitted: the same images with the same wishes are the same job."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from cli.http.client import JobRequest
from cli.http.problems import client_error
from cli.http.requestbody import list_folder, read_payload
from dermq.errors import UnreadableError

_KIND = "dermq submit 1"  # another number, another key for the same content


def content_key(path: Path | None, request: JobRequest, *, sent: bool) -> str | None:
    """The key of a submission; None where the content is not on this machine (s3://).

    A file counts by its bytes; a folder by the names, sizes and times of its files, since they may be gigabytes.

    Args:
        path: the file or folder.
        request: model and the like.
        sent: whether the server gets the bytes, or reads the path by itself.

    Raises:
        CliError: it cannot be read.
    """
    if path is None:
        return None
    place = "" if sent else str(path.resolve())
    digest = hashlib.sha256(json.dumps([_KIND, place, path.resolve().name, request.parameters()], sort_keys=True).encode())
    if path.is_dir():
        for member in list_folder(path):
            changed = (path / member.name).lstat().st_mtime_ns
            digest.update(f"{member.name!r} {member.size} {changed}\n".encode())
    else:
        try:
            for block in read_payload(path).open():
                digest.update(block)
        except UnreadableError as error:
            raise client_error(error) from error
    return f"content-{digest.hexdigest()}"
