"""Pictures of items: read from real archives by way of a real index, and never served as anything that could run."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import pytest
from PIL import Image

from core.archives.base import ArchiveKind, ArchiveRef, Member
from core.archives.open import open_archive
from core.db.engine import transaction
from core.db.models import Chunk
from core.errors import ItemErrorCode
from tests.integration.api.conftest import Api, problem, start_prepared, store_zip
from tests.support.stack import jpeg, png

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
MEMBERS = (
    ("a.jpg", jpeg(100, size=(800, 600))),
    ("b.html", png(30)),
    ("page.jpg", HTML),
    ("drawing.png", SVG),
    ('odd "name"\r\n.png', png(90)),
    ("ümlaut.jpg", jpeg(50)),
)


@pytest.fixture(scope="module")
def job(api: Api, tmp_path_factory: pytest.TempPathFactory) -> uuid.UUID:
    """A prepared job over a stored ZIP, cut into chunks of which each has its own slice of the index."""
    ref, listed = store_zip(api, tmp_path_factory.mktemp("zip") / "a.zip", MEMBERS)
    members = [*listed, Member("locked.jpg", error=ItemErrorCode.ENCRYPTED, error_text="it needs a password")]
    return start_prepared(api, ref, members)


def test_original_bytes(api: Api, job: uuid.UUID) -> None:
    response = api.client.get(f"/v1/jobs/{job}/items/0/original")
    assert response.content == MEMBERS[0][1]
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["content-disposition"].startswith('inline; filename="a.jpg"')
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]
    assert "private" in response.headers["cache-control"]


def test_type_comes_from_the_bytes(api: Api, job: uuid.UUID) -> None:
    assert api.client.get(f"/v1/jobs/{job}/items/1/original").headers["content-type"] == "image/png"


@pytest.mark.parametrize("item", [2, 3])
def test_what_could_run_is_an_attachment(api: Api, job: uuid.UUID, item: int) -> None:
    response = api.client.get(f"/v1/jobs/{job}/items/{item}/original")
    assert response.content == MEMBERS[item][1]
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in response.headers["content-security-policy"]
    problem(api.client.get(f"/v1/jobs/{job}/items/{item}/thumbnail"), 422, ("not_an_image", "unsupported_format")[item - 2])


def test_awkward_file_names(api: Api, job: uuid.UUID) -> None:
    odd = api.client.get(f"/v1/jobs/{job}/items/4/original").headers["content-disposition"]
    assert odd == "inline; filename=\"odd _name_.png\"; filename*=UTF-8''odd%20%22name%22.png"
    assert (
        "filename*=UTF-8''%C3%BCmlaut.jpg" in api.client.get(f"/v1/jobs/{job}/items/5/original").headers["content-disposition"]
    )


def test_thumbnail(api: Api, job: uuid.UUID) -> None:
    url = f"/v1/jobs/{job}/items/0/thumbnail"
    response = api.client.get(url, params={"size": 64})
    assert response.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(response.content)).size == (64, 48)
    again = api.client.get(url, params={"size": 64}, headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    problem(api.client.get(url, params={"size": 513}), 422, "invalid_parameters")


def test_items_that_are_not_there(api: Api, job: uuid.UUID) -> None:
    for item in ("7", "99999", str(2**31 - 1), str(2**31), "-1", "x"):
        problem(api.client.get(f"/v1/jobs/{job}/items/{item}/original"), 404, "not_found")
    problem(api.client.get(f"/v1/jobs/{api.submit()}/items/0/original"), 404, "not_found")


def test_member_that_the_listing_refused(api: Api, job: uuid.UUID) -> None:
    assert "password" in problem(api.client.get(f"/v1/jobs/{job}/items/6/original"), 422, "encrypted")["detail"]


def test_archive_that_is_gone(api: Api) -> None:
    ref = ArchiveRef(ArchiveKind.ZIP, "storage", "uploads/none/archive", "a.zip")
    job = start_prepared(api, ref, [Member("a.jpg", packed_size=10, size=10)])
    problem(api.client.get(f"/v1/jobs/{job}/items/0/original"), 410, "archive_gone")


def test_folder_source(api: Api, tmp_path: Path) -> None:
    folder = api.settings.api.source_roots[0] / "shown"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "x.png").write_bytes(png(10))
    ref = ArchiveRef(ArchiveKind.FOLDER, "path", str(folder), "folder")
    archive = open_archive(ref, api.storage, api.settings)
    job = start_prepared(api, ref, list(archive.members()))
    archive.close()
    assert api.client.get(f"/v1/jobs/{job}/items/0/original").content == png(10)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.png").write_bytes(png(90))  # of somebody else
    folder.rename(folder.with_name("away"))
    folder.symlink_to(tmp_path)
    assert "link" in problem(api.client.get(f"/v1/jobs/{job}/items/0/original"), 410, "archive_gone")["detail"]


def test_a_folder_that_is_not_allowed_any_more_is_not_shown(api: Api, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(10))
    ref = ArchiveRef(ArchiveKind.FOLDER, "path", str(tmp_path), "folder")
    job = start_prepared(api, ref, [Member("x.png")])
    problem(api.client.get(f"/v1/jobs/{job}/items/0/original"), 403, "forbidden_source")


def test_item_of_a_retried_chunk(api: Api, job: uuid.UUID) -> None:
    """After a retry, narrower chunks cover the same items with the same slice of the index."""
    with transaction(api.engine) as session:
        origin = session.get_one(Chunk, (job, 0))
        session.add(
            Chunk(
                job_id=job,
                chunk_no=90,
                first_item=2,
                item_count=2,
                picked=[2],
                index_first_item=origin.index_first_item,
                index_offset=origin.index_offset,
                index_length=origin.index_length,
                state="done",
            )
        )
    for item in (3, 4):  # within it, and beyond it
        assert api.client.get(f"/v1/jobs/{job}/items/{item}/original").content == MEMBERS[item][1]
