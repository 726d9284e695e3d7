"""What a file is decided by its content, what is litter by its name, and what a network costs by the neighbourhood."""

from __future__ import annotations

import datetime
import gzip
import io
import lzma
import struct
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from core.archives.base import ArchiveKind, ArchiveRef, Member
from core.archives.compressed import ExpandLimits
from core.archives.detect import prepare_archive
from core.archives.open import open_archive
from core.archives.ranges import ReadAhead
from core.archives.skipping import is_skipped
from core.archives.sniff import Content, sniff
from core.errors import ArchiveError, ItemError, ItemErrorCode
from core.imaging import decode_image
from core.settings import ApiSettings, ImageLimits, Settings, StorageSettings
from core.storage.local import LocalStorage
from core.storage.s3_listing import Credentials, signed_headers
from tests.support.archive_bytes import BytesAccess, honest_zip, outcomes
from tests.support.s3 import make_bucket, put_object, running_s3


def allowing(folder: Path) -> Settings:
    """Settings of a server that may read below a folder."""
    return Settings(api=ApiSettings(source_roots=(folder,)))


def image(format: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, format)
    return buffer.getvalue()


def tar(names: list[str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF"])
def test_images_are_told_by_their_first_bytes(format: str) -> None:
    assert sniff(BytesAccess(image(format)), "liar.zip") is Content.IMAGE


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (honest_zip({"a": b"a"}), Content.ZIP),
        (honest_zip({}), Content.ZIP),
        (b"\x7fELF" + bytes(5000) + honest_zip({"a": b"a"}), Content.ZIP),
        (tar(["a.jpg"]), Content.TAR),
        (tar(["path,image"]), Content.TAR),
        (b"\x1f\x8b\x08", Content.COMPRESSED),
        (b"BZh91AY", Content.COMPRESSED),
        (b"\xfd7zXZ\0", Content.COMPRESSED),
        (b"\x28\xb5\x2f\xfd", Content.COMPRESSED),
        (b"7z\xbc\xaf\x27\x1c", Content.SEVEN_ZIP),
        (b"path,dx\n", Content.MANIFEST),
        (b"070701.jpg\n070702.jpg\n", Content.MANIFEST),
        (b"im-lh5.jpg\nim-lh6.jpg\n", Content.MANIFEST),
        (b"BMI,path\n22,a.jpg\n" * 3, Content.MANIFEST),
    ],
)
def test_archives_are_told_by_content(data: bytes, content: Content) -> None:
    assert sniff(BytesAccess(data), "liar.jpg") is content


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "an empty file"),
        (b"hello world, this is text", r"text that begins with 'hello world"),
        (b"Rar!\x1a\x07\x00", "a RAR archive"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x00\x01\x02" + bytes(2000), "bytes that begin with 00 01 02"),
        (bytes(4096), "bytes that begin with 00 00"),
    ],
)
def test_what_is_neither_is_named(data: bytes, what: str) -> None:
    with pytest.raises(ArchiveError, match=what):
        sniff(BytesAccess(data), "upload")
    assert sniff(BytesAccess(data), "lesion.JPG") is Content.IMAGE  # a row that says what is wrong with it


@pytest.mark.parametrize(
    ("data", "what", "advice"),
    [
        (b"Rar!\x1a\x07\x01\0", "a RAR archive", "send the images as ZIP, TAR or 7z"),
        (b"070701" + b"0" * 104, "a CPIO archive", "send the images"),
        (b"\xc7\x71" + bytes(100), "a CPIO archive", "send the images"),
        (b"!<arch>\n" + bytes(60), "an AR archive", "send the images"),
        (b"MSCF\0\0\0\0" + bytes(60), "a CAB archive", "send the images"),
        (bytes(32768) + b"\1CD001\1" + bytes(5000), "an ISO 9660 or UDF disc image", "send the images"),
        (b"\x04\x22\x4d\x18" + bytes(60), "LZ4 data", "pack it as .tar.gz"),
        (b"LZIP\1" + bytes(60), "lzip data", "pack it as .tar.gz"),
        (b"\x1f\x9d\x90" + bytes(60), "data of compress", "pack it as .tar.gz"),
        (b"PK\7\x08PK\3\4" + bytes(60), "one part of a split ZIP", "join the parts"),
        (b"%PDF-1.7\n" + honest_zip({"a": b"a"}), "a PDF document", "export its pictures"),
        (b"x" * 1000 + b"koly" + bytes(508), "an Apple disk image", "send the images"),
    ],
)
def test_what_is_known_but_not_read_is_named_with_what_to_do(data: bytes, what: str, advice: str) -> None:
    with pytest.raises(ArchiveError, match=rf"upload: {what}.*{advice}"):
        sniff(BytesAccess(data), "upload")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (honest_zip({"a": b"a"}), "a ZIP archive: archives within archives are not opened, send it by itself"),
        (honest_zip({}), "a ZIP archive: archives within archives"),
        (tar(["a.jpg"]), "a TAR archive: archives within archives"),
        (gzip.compress(b"x", mtime=0), "gzip data: archives within archives"),
        (lzma.compress(b"x"), "xz data: archives within archives"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(50), "a 7z archive: archives within archives"),
        (b"Rar!\x1a\x07\0" + bytes(50), "a RAR archive, which DermQ does not read: unpack it"),
        (bytes(32769) + b"CD001" + bytes(50), "an ISO 9660 or UDF disc image"),
        (honest_zip({"[Content_Types].xml": b"<x/>"}), "an Office document: export its pictures"),
    ],
)
def test_an_archive_within_an_archive_is_named_with_what_to_do(data: bytes, what: str) -> None:
    with pytest.raises(ItemError, match=f"expected an image, got {what}") as caught:
        decode_image(data, height=8, width=8, limits=ImageLimits())
    assert caught.value.code is ItemErrorCode.NOT_AN_IMAGE


@given(st.binary(max_size=2000) | st.text(max_size=300).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_sniffing_never_fails_otherwise(data: bytes) -> None:
    try:
        sniff(BytesAccess(data), "upload")
    except ArchiveError:
        return


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/",
        "__MACOSX/a.jpg",
        "x/__MACOSX/._a.jpg",
        "._a.jpg",
        "x/._",
        ".DS_Store",
        "x/.DS_Store",
        "Thumbs.db",
        "x/THUMBS.DB",
        "desktop.ini",
        "ehthumbs.db",
        "ehthumbs_vista.db",
        ".Spotlight-V100/store.db",
        ".Trashes/1",
        "$RECYCLE.BIN/a.jpg",
        "Icon\r",
        "x\\Thumbs.db",
        "__MACOSX\\a.jpg",
        "System Volume Information/x",
        "@eaDir/a.jpg/thumb.jpg",
        ".AppleDouble/a.jpg",
    ],
)
def test_litter(name: str) -> None:
    assert is_skipped(name)


@pytest.mark.parametrize(
    "name",
    ["a.jpg", ".a.jpg", "MACOSX/a.jpg", "__MACOSX.jpg", "_.a.jpg", "Thumbs.db.jpg", "my Thumbs.db", "x.DS_Store", "a.._b.jpg"],
)
def test_no_litter(name: str) -> None:
    assert not is_skipped(name)


def test_references_and_members_survive_json() -> None:
    ref = ArchiveRef(ArchiveKind.MANIFEST, "path", "/data/\udcff.csv", "n", "/data")
    assert ArchiveRef.from_json(ref.to_json()) == ref
    member = Member("\udcff\n.jpg", 1 << 40, 2, 3, 8, 0xFFFFFFFF, ItemErrorCode.EMPTY, "text")
    assert Member.from_line(member.to_line()) == member
    assert member.to_line().count(b"\n") == 1


def test_source_errors_are_job_errors(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "objects")
    (tmp_path / "list.csv").write_bytes(b"path\na.jpg\n")
    (tmp_path / "loop").symlink_to("loop")
    sources: list[dict[str, Any]] = [
        {"kind": "path", "path": str(tmp_path / "nothing")},
        {"kind": "path", "path": str(tmp_path / "loop")},
        {"kind": "path", "path": "a\0b"},
        {"kind": "upload", "key": "gone"},
        {"kind": "s3", "uri": "http://host/x"},
        {"kind": "path", "path": str(tmp_path / "list.csv"), "root": str(tmp_path / "nothing")},
    ]
    for source in sources:
        with pytest.raises(ArchiveError):
            prepare_archive(source, storage, "scratch", allowing(tmp_path))


def test_an_uploaded_manifest_needs_a_root(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "objects")
    with storage.writer("u") as writer:
        writer.write(b"path\na.jpg\n")
        writer.commit()
    with pytest.raises(ArchiveError, match="does not say where its files lie"):
        prepare_archive({"kind": "upload", "key": "u", "filename": "list.csv"}, storage, "scratch", Settings())


def test_a_path_is_resolved_once(tmp_path: Path) -> None:
    (tmp_path / "real.zip").write_bytes(honest_zip({"a.jpg": b"a"}))
    (tmp_path / "link.zip").symlink_to("real.zip")
    ref = prepare_archive({"kind": "path", "path": str(tmp_path / "link.zip")}, LocalStorage(tmp_path), "s", allowing(tmp_path))
    assert (ref.location, ref.name) == (str((tmp_path / "real.zip").resolve()), "real.zip")
    (tmp_path / "real.zip").unlink()
    (tmp_path / "real.zip").symlink_to("/etc/passwd")
    with pytest.raises(ArchiveError, match="gone"):
        open_archive(ref, LocalStorage(tmp_path), allowing(tmp_path))


def test_a_bomb_leaves_nothing_in_the_storage(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("big.bmp")
        info.size = 30_000_000
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    (tmp_path / "bomb.tgz").write_bytes(buffer.getvalue())
    storage = LocalStorage(tmp_path / "objects")
    source = {"kind": "path", "path": str(tmp_path / "bomb.tgz")}
    with pytest.raises(ArchiveError) as caught:
        prepare_archive(source, storage, "scratch", allowing(tmp_path), limits=ExpandLimits(free_bytes=1_000_000))
    assert caught.value.code == "archive_bomb"
    assert list(storage.list("")) == []


# Read-ahead


def test_neighbours_share_requests() -> None:
    access = BytesAccess(bytes(range(256)) * 80_000)  # 20 MB
    ahead = ReadAhead(access)
    for start in range(0, 15_000_000, 30_000):
        assert ahead.read_at(start, 30_000 + 200) == access.data[start : start + 30_200]
    assert len(access.requests) < 15
    assert max(length for _, length in access.requests) <= 8 * 1024 * 1024


def test_distant_reads_are_passed_on_as_they_come() -> None:
    access = BytesAccess(bytes(200_000_000))
    ahead = ReadAhead(access)
    for start in (150_000_000, 5, 90_000_000, 40_000_000):
        ahead.read_at(start, 1000)
    assert access.requests == [(start, 1000) for start in (150_000_000, 5, 90_000_000, 40_000_000)]
    ahead.close()
    assert access.requests[-1] == (-1, -1)


@given(st.binary(max_size=3000), st.lists(st.tuples(st.integers(-2, 3100), st.integers(-2, 4000)), max_size=30))
@settings(max_examples=200, deadline=None)
def test_read_ahead_changes_no_byte(data: bytes, reads: list[tuple[int, int]]) -> None:
    ahead = ReadAhead(BytesAccess(data))
    for offset, length in reads:
        expected = data[offset : offset + length] if offset >= 0 and length > 0 else b""
        assert ahead.read_at(offset, length) == expected


# S3


@pytest.fixture(scope="module")
def s3() -> Iterator[StorageSettings]:
    with running_s3() as settings:
        yield settings


@pytest.fixture
def bucket(s3: StorageSettings) -> str:
    """A bucket of its own: moto keeps its buckets when a server ends."""
    make_bucket(s3, name := f"dermq-{uuid.uuid4().hex}")
    return name


def test_folder_markers_are_no_images_but_empty_objects_are_rows(s3: StorageSettings, bucket: str, tmp_path: Path) -> None:
    for key in ("p/", "p/sub/", "p/empty-folder/"):
        put_object(s3, bucket, key, b"")
    put_object(s3, bucket, "p/empty.jpg", b"")
    put_object(s3, bucket, "p/sub/a.jpg", b"a")
    storage, all_settings = LocalStorage(tmp_path), Settings(storage=s3, api=ApiSettings(allow_s3_sources=(f"s3://{bucket}",)))
    ref = prepare_archive({"kind": "s3", "uri": f"s3://{bucket}/p"}, storage, "s", all_settings)
    archive = open_archive(ref, storage, all_settings)
    assert outcomes(archive) == {"empty.jpg": ItemErrorCode.EMPTY, "sub/a.jpg": b"a"}
    assert archive.skipped == 3


@pytest.mark.parametrize(
    ("odd", "neighbours"),
    [("p//b.jpg", 1), ("p/../b.jpg", 1), ("p/./b.jpg", 1), ("p/sub//b.jpg", 1), ("p/b//c.jpg", 1010)],  # more than a page
)
def test_one_odd_key_is_one_failed_row(s3: StorageSettings, bucket: str, tmp_path: Path, odd: str, neighbours: int) -> None:
    names = [f"a ü+%{number:04d}.jpg" for number in range(neighbours)]
    for name in (*names, "z.jpg"):
        put_object(s3, bucket, f"p/{name}", b"a")
    put_object(s3, bucket, odd, b"b")
    storage, all_settings = LocalStorage(tmp_path), Settings(storage=s3, api=ApiSettings(allow_s3_sources=(f"s3://{bucket}",)))
    ref = prepare_archive({"kind": "s3", "uri": f"s3://{bucket}/p"}, storage, "s", all_settings)
    archive = open_archive(ref, storage, all_settings)
    found = outcomes(archive)
    assert found == dict.fromkeys([*names, "z.jpg"], b"a") | {odd[2:]: ItemErrorCode.UNSAFE_PATH}
    archive.close()


def test_requests_are_signed_as_amazon_signs_them() -> None:
    """The example "GET Bucket (List Objects)" of Amazon S3's documentation of Signature Version 4."""
    key = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    moment = datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC)
    headers = signed_headers("https://examplebucket.s3.amazonaws.com", "max-keys=2&prefix=J", "us-east-1", key, moment)
    assert headers["authorization"].endswith("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")


def test_a_bmp_needs_more_than_two_letters() -> None:
    bmp = b"BM" + struct.pack("<LHHLL", 100, 0, 0, 54, 40) + bytes(40)
    assert sniff(BytesAccess(bmp), "x") is Content.IMAGE
    with pytest.raises(ArchiveError):
        sniff(BytesAccess(b"BM is short for bitmap, which this is not"), "x")
