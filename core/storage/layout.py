"""Where everything lies in the object storage. No other module spells a key.

uploads/<upload id>/archive    what a client sent
uploads/<upload id>/part-*     what has come of an upload in parts
jobs/<job id>/index            one line for each member of the job's archive, written when the job is prepared
jobs/<job id>/fetched          what was fetched from an https:// source
jobs/<job id>/seekable         the archive rewritten so that members can be read by range (compressed TARs)
jobs/<job id>/saliency/<version>/<item>  which places of an item speak for each class, once somebody has asked
"""

from __future__ import annotations

from uuid import UUID

UPLOADS, JOBS = "uploads", "jobs"  # the two folders


def id_of_key(key: str) -> UUID | None:
    """The upload's or job's id of an object that lies where DermQ puts them; None for others."""
    folder, _, rest = key.partition("/")
    name, _, rest = rest.partition("/")
    try:
        found = UUID(name)
    except ValueError:
        return None
    return found if folder in (UPLOADS, JOBS) and rest and str(found) == name else None


def upload_prefix(upload_id: UUID) -> str:
    """Of all that belongs to one upload."""
    return f"{UPLOADS}/{upload_id}/"


def upload_key(upload_id: UUID) -> str:
    """Of the bytes that a client sent."""
    return f"{upload_prefix(upload_id)}archive"


def job_prefix(job_id: UUID) -> str:
    """Of all that belongs to one job, except for its upload: two jobs may share that."""
    return f"{JOBS}/{job_id}/"


def index_key(job_id: UUID) -> str:
    """Of the list of a job's members."""
    return f"{job_prefix(job_id)}index"


def seekable_key(job_id: UUID) -> str:
    """Of the archive as rewritten for reading by range."""
    return f"{job_prefix(job_id)}seekable"


def saliency_key(job_id: UUID, version: int, item_no: int) -> str:
    """Of the maps that a model version gave for one item."""
    return f"{job_prefix(job_id)}saliency/{version}/{item_no}"


def fetched_key(job_id: UUID) -> str:
    """Of what was fetched from an https:// source."""
    return f"{job_prefix(job_id)}fetched"
