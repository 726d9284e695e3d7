"""Pictures for pages: without metadata, several at a time, and decoded where it harms nobody."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from api.decoders import DecoderPool
from api.pictures import PictureMaker
from core.errors import ItemError, ItemErrorCode
from core.settings import ImageLimits, PictureSettings
from tests.integration.api.conftest import Api, problem, start_prepared, store_zip
from tests.support.stack import jpeg, png

GPS, ORIENTATION, ARTIST = 0x8825, 0x0112, 0x013B


def photograph() -> bytes:
    """300 x 200 pixels that are to be shown upright, with the place and the name of who took it."""
    exif = Image.Exif()
    exif[ORIENTATION], exif[ARTIST] = 6, "A. Person"
    exif.get_ifd(GPS)[1] = "N"
    stream = io.BytesIO()
    Image.new("RGB", (300, 200), (200, 120, 90)).save(stream, "JPEG", exif=exif, comment=b"of A. Person")
    return stream.getvalue()


MEMBERS = (("photo.jpg", photograph()), ("broken.jpg", jpeg(100)[:200]), ("c.png", png(3)), ("text.jpg", b"no picture"))


@pytest.fixture(scope="module")
def job(api: Api, tmp_path_factory: pytest.TempPathFactory) -> uuid.UUID:
    return start_prepared(api, *store_zip(api, tmp_path_factory.mktemp("zip") / "a.zip", MEMBERS))


def parts_of(response: httpx2.Response) -> dict[str, Message]:
    whole = message_from_bytes(b"Content-Type: " + response.headers["content-type"].encode() + b"\r\n\r\n" + response.content)
    parts = whole.get_payload()
    assert isinstance(parts, list)
    return {str(part.get_param("name", header="content-disposition")): part for part in parts}


def test_an_image_is_upright_and_says_nothing_of_where_it_was_taken(api: Api, job: uuid.UUID) -> None:
    response = api.client.get(f"/v1/jobs/{job}/items/0/image")
    image = Image.open(io.BytesIO(response.content))
    assert (image.format, image.size, dict(image.getexif()), image.info.get("comment")) == ("JPEG", (200, 300), {}, None)
    assert b"Person" not in response.content
    assert response.headers["content-disposition"].startswith('inline; filename="photo.jpg.jpg"')
    small = api.client.get(f"/v1/jobs/{job}/items/0/image", params={"size": 100})
    assert Image.open(io.BytesIO(small.content)).size == (67, 100)
    again = api.client.get(f"/v1/jobs/{job}/items/0/image", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_original_is_what_was_handed_in(api: Api, job: uuid.UUID) -> None:
    assert api.client.get(f"/v1/jobs/{job}/items/0/original").content == MEMBERS[0][1]


def test_thumbnails_come_together(api: Api, job: uuid.UUID) -> None:
    response = api.client.get(f"/v1/jobs/{job}/thumbnails", params={"item": [2, 0, 1, 3, 0], "size": 64})
    parts = parts_of(response)
    assert list(parts) == ["2", "0", "1", "3"]
    photo = parts["0"].get_payload(decode=True)
    assert isinstance(photo, bytes)
    assert Image.open(io.BytesIO(photo)).size == (43, 64)
    assert photo == api.client.get(f"/v1/jobs/{job}/items/0/thumbnail", params={"size": 64}).content
    assert [(part.get_content_type(), part.get_filename()) for part in parts.values()] == [
        ("image/jpeg", "2.jpg"),
        ("image/jpeg", "0.jpg"),
        ("application/json", None),
        ("application/json", None),
    ]
    assert '"code": "truncated"' in str(parts["1"].get_payload())
    assert '"code": "not_an_image"' in str(parts["3"].get_payload())


def test_thumbnails_are_refused_as_their_items_are(api: Api, job: uuid.UUID) -> None:
    url = f"/v1/jobs/{job}/thumbnails"
    problem(api.client.get(url), 422, "invalid_parameters")
    problem(api.client.get(url, params={"item": list(range(61))}), 422, "invalid_parameters")
    problem(api.client.get(url, params={"item": [0, 4]}), 404, "not_found")
    problem(api.client.get(f"/v1/jobs/{uuid.UUID(int=1)}/thumbnails", params={"item": 0}), 404, "not_found")


@pytest.fixture
def maker() -> Iterator[PictureMaker]:
    settings = PictureSettings(processes=1, memory_bytes=256 * 1024**2, cache_bytes=20_000)
    decoders = DecoderPool(settings)
    yield PictureMaker(settings, ImageLimits(), decoders)
    decoders.close()


def test_a_picture_that_takes_too_much_memory_harms_only_itself(maker: PictureMaker) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (9900, 9900)).save(stream, "PNG", compress_level=1)  # 294 MB of pixels
    found = maker.make_all([("huge", stream.getvalue()), ("small", jpeg(80))], 64)
    assert isinstance(found["huge"], ItemError)
    assert isinstance(found["small"], bytes)
    assert maker.make(jpeg(90), 64) == maker.make(jpeg(90), 64)


def test_a_picture_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    settings = PictureSettings(processes=1, timeout_s=0.001)
    decoders = DecoderPool(settings)
    maker = PictureMaker(settings, ImageLimits(), decoders)
    stream = io.BytesIO()
    Image.effect_noise((3000, 3000), 90).convert("RGB").save(stream, "PNG")
    with pytest.raises(ItemError) as caught:
        maker.make(stream.getvalue(), 64)
    decoders.close()
    assert caught.value.code == ItemErrorCode.DECODE_TIMEOUT


def test_the_pictures_asked_for_last_are_kept(maker: PictureMaker) -> None:
    made = maker.make_all([(number, jpeg(number)) for number in range(60)], 64)
    kept = [number for number in range(60) if maker.find(number) is not None]
    assert kept == list(range(60 - len(kept), 60))
    assert 0 < sum(len(made[number]) for number in kept) <= 20_000  # type: ignore[arg-type]
    assert maker.find(59) == made[59]
