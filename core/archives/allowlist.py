"""Which sources the operator allows: folders of the server, buckets of S3. Asked at submission, and wherever one is opened.

The ledger is not trusted with this: between submission and opening a folder may become a link, and a setting may change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from core.errors import ForbiddenSourceError
from core.settings import ApiSettings

Where = Literal["storage", "path", "s3"]  # "s3" is any bucket: its address says of which kind


def check_place(where: Where, location: str, settings: ApiSettings) -> None:
    """Refuse a place that the operator does not allow. DermQ's own storage always is.

    Args:
        where: whose place it is.
        location: a storage key, an absolute path without links, or an address such as s3://bucket/key.
        settings: has both lists.

    Raises:
        ForbiddenSourceError: it is on neither list.
    """
    if where == "path":
        allowed_root(Path(location), settings)
    elif where == "s3":
        check_bucket(location, settings)


def allowed_root(path: Path, settings: ApiSettings, *, shown: str = "") -> Path:
    """The allowed folder (or file) that an absolute path without links is, or lies below; the innermost of several.

    Args:
        path: where it really lies.
        settings: has the list.
        shown: the path in the message, if a client must not learn where its links lead.

    Raises:
        ForbiddenSourceError: there is none.
    """
    roots = [root for root in settings.source_roots if path.is_relative_to(root)]
    if not roots or ".." in path.parts:
        raise ForbiddenSourceError(
            f"the server's path {shown or str(path)!r} may not be a source: the operator may add a folder above it to "
            "DERMQ_API_SOURCE_ROOTS (/data, for example), for the API and the workers; else send the bytes"
        )
    return max(roots, key=lambda root: len(root.parts))


def check_bucket(uri: str, settings: ApiSettings) -> None:
    """Refuse what lies below none of the allowed addresses in buckets. Keys are compared as they are, segment by segment.

    Raises:
        ForbiddenSourceError: it is not allowed, or its key has a segment `.` or `..`.
    """
    bare = uri.rstrip("/") + "/"
    below = any(bare.startswith(allowed) for allowed in settings.allow_s3_sources)
    if below and not {".", ".."} & set(uri.split("/")):
        return
    state = (
        "is not among those that the operator allows" if settings.allow_s3_sources else "is refused: sources in buckets are off"
    )
    raise ForbiddenSourceError(
        f"the source {uri!r} {state}: the operator may add it to DERMQ_API_ALLOW_S3_SOURCES (s3://bucket/prefix, for example), "
        "for the API and the workers; else send the bytes"
    )
