"""Which places of an item speak for a class: asked of the version that classified it, and kept below the job.

The signature `explain` answers for all classes at once, so an item is decoded and asked about once.
"""

from __future__ import annotations

import base64
from contextlib import closing, suppress
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from api.resources import Resources
from api.results.members import read_member
from core.db.engine import reading
from core.db.jobs import get_job
from core.db.models import ItemState
from core.db.results import find_result
from core.errors import ConflictError, InvalidRequestError, ModelNotFoundError, NotFoundError, StorageUnavailableError
from core.imaging import Resize, draw_heatmap
from core.storage.layout import saliency_key
from serving.client import Described
from serving.versions import check_preprocessing


class _Kept(BaseModel):
    """The maps of one item, with what is needed to draw them."""

    model_config = ConfigDict(frozen=True)

    classes: tuple[str, ...]
    seen: tuple[int, int]  # width and height of what the model sees
    resize: Resize
    places: tuple[int, int]  # height and width of a map
    maps: str  # uint8 [h, w, classes] in base64, 255 at the strongest place

    def of_class(self, label: str) -> NDArray[np.uint8]:
        """uint8 [h, w]; raises InvalidRequestError."""
        if label not in self.classes:
            raise InvalidRequestError(f"label: expected one of {', '.join(self.classes)}, got {label!r}")
        maps = np.frombuffer(base64.b64decode(self.maps), np.uint8).reshape(*self.places, len(self.classes))
        return maps[..., self.classes.index(label)]


def draw_saliency(here: Resources, tenant_id: UUID, job_id: UUID, item_no: int, label: str | None) -> bytes:
    """A PNG to be laid over the picture.

    Args:
        here: what the process has opened.
        tenant_id: whose job it is.
        job_id: the job.
        item_no: of the item in it.
        label: the class; None: the one that the item got.

    Raises:
        NotFoundError: no such job or item, or its version has no signature `explain`.
        ConflictError: the item failed, or its version is not served any more.
        InvalidRequestError: the model has no such class.
        OriginalGoneError, ItemError, StorageUnavailableError: its bytes cannot be read, as `read_member` says.
        ModelContractError: the version sees pictures otherwise than this DermQ decodes them, or answers against the contract.
        ServingUnavailableError: no answer in time.
    """
    with reading(here.engine) as session:
        job = get_job(session, tenant_id, job_id)
        row = find_result(session, job_id, item_no)
    if row.state == ItemState.FAILED or row.label is None or row.version is None:
        raise ConflictError(f"item {item_no} of job {job_id} failed ({row.error_code}): there is no answer to explain")
    key = saliency_key(job_id, row.version, item_no)
    kept = _find(here, key)
    if kept is None:
        described = _describe(here, job.model, row.version)
        _, data = read_member(here, tenant_id, job_id, item_no)
        kept = _explain(here, job.model, described, data)
        with suppress(StorageUnavailableError), here.storage.writer(key) as writer:  # the next request asks again
            writer.write(kept.model_dump_json().encode())
            writer.commit()
    size = (row.width, row.height) if row.width and row.height else kept.seen
    return draw_heatmap(kept.of_class(label or row.label), size=size, seen=kept.seen, resize=kept.resize)


def _find(here: Resources, key: str) -> _Kept | None:
    try:
        with closing(here.storage.open(key)) as stored:
            return _Kept.model_validate_json(stored.read_at(0, stored.size))
    except (NotFoundError, ValidationError):  # nobody has asked yet, or it is of another release
        return None


def _describe(here: Resources, model: str, version: int) -> Described:
    try:
        described = here.client.describe(model, version=version)
    except ModelNotFoundError as error:
        raise ConflictError(
            f"version {version} of {model}, which classified the item, is not served any more, and only it can say why it "
            f"answered so; `dermq models` shows what is served ({error})"
        ) from None
    if described.spec.explain is None:
        raise NotFoundError(
            f"version {version} of {model} cannot say which places speak for a class: it has no signature explain; versions "
            "that `dermq export` makes now have it"
        )
    check_preprocessing(described.spec)
    return described


def _explain(here: Resources, model: str, described: Described, data: bytes) -> _Kept:
    spec = described.spec
    decoded = here.pictures.decode(data, spec)
    [maps] = here.client.explain(model, described, decoded.pixels[None], timeout_s=here.settings.serving.timeout_s)
    return _Kept(
        classes=spec.classes,
        seen=(spec.input_width, spec.input_height),
        resize=spec.resize,
        places=maps.shape[:2],
        maps=base64.b64encode(np.rint(maps * 255).astype(np.uint8).tobytes()).decode(),
    )
