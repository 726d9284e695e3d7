"""Sources by https://: fetched into DermQ's own storage when a job is prepared, from what the operator allows a tenant.

The address is checked as core.egress does it: resolved once, each address checked, the checked one connected to, no redirect.
What the server sees there is not told to the client: a status at most.
"""

from __future__ import annotations

from http.client import HTTPException
from urllib.parse import unquote, urlsplit

from core.egress.addresses import check_url, find_target
from core.egress.sending import Answer, fetch
from core.errors import ArchiveError, ForbiddenSourceError, InvalidRequestError, JobErrorCode, TooLargeError, TransientError
from core.settings import Settings
from core.storage.base import ObjectStorage

IDLE_S = 30.0
TOTAL_S = 2 * 3600.0


class SourceAwayError(TransientError):
    """The server of a source does not answer, or asks to come again."""

    waits_for = "source"


def check_https(url: str, tenant: str, settings: Settings) -> None:
    """Refuse an address that the operator does not allow a tenant. Paths are compared as they are, segment by segment.

    Raises:
        ForbiddenSourceError: it is not allowed.
        InvalidRequestError: it is no address.
    """
    check_url(url)
    parts = urlsplit(url)
    bare = f"https://{parts.netloc.lower()}{parts.path}/"
    allowed = [entry.partition("=") for entry in settings.egress.https_sources]
    below = any(whose in ("*", tenant) and bare.startswith(prefix) for whose, _, prefix in allowed)
    plain = not {".", ".."} & set(unquote(parts.path).split("/"))
    if parts.scheme != "https" or not below or not plain:
        state = "is not among those that the operator allows this tenant" if allowed else "is refused: https:// sources are off"
        raise ForbiddenSourceError(
            f"the source {url!r} {state}: the operator may add it to DERMQ_EGRESS_HTTPS_SOURCES "
            "(TENANT=https://host/prefix), for the API and the workers; else send the bytes"
        )


def fetch_https(url: str, tenant: str, key: str, storage: ObjectStorage, settings: Settings) -> None:
    """Write what is at an address to an object of the storage, whole or not at all.

    Raises:
        ForbiddenSourceError: the operator does not allow it (any more), or it leads inside the network.
        ArchiveError: it is not there, refuses, leads elsewhere, or is too large.
        SourceAwayError: it does not answer now.
    """
    check_https(url, tenant, settings)
    try:
        target = find_target(url, settings.egress.allowed_networks)
        with storage.writer(key) as writer:
            limit = settings.api.max_upload_bytes
            _judge(fetch(target, writer.write, max_bytes=limit, idle_s=IDLE_S, total_s=TOTAL_S))
            writer.commit()
    except InvalidRequestError as error:
        raise ForbiddenSourceError("the source's host is not on the public internet, and no network of ours has it") from error
    except TooLargeError as error:
        raise ArchiveError(str(error), JobErrorCode.ARCHIVE_BOMB) from error
    except (OSError, HTTPException) as error:
        raise SourceAwayError("the server of the source does not answer, or broke off") from error


def _judge(answer: Answer) -> None:
    status = answer.status
    if status == 200:
        return
    if status == 429 or status >= 500:
        raise SourceAwayError(f"the server of the source answers {status}")
    if status in (401, 403):
        raise ArchiveError(f"the server of the source refuses DermQ: {status}", JobErrorCode.SOURCE_DENIED)
    if 300 <= status < 400:
        raise ArchiveError(f"the source leads elsewhere ({status}), and redirects are not followed: name where it leads")
    raise ArchiveError(f"the source is not there: {status}", JobErrorCode.ARCHIVE_GONE)
