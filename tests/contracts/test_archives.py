"""One contract over every archive format: the same files in, the same members and bytes out, in any order."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import py7zr
import pytest

from core.archives.base import Archive, ArchiveKind, ArchiveRef, Member
from core.archives.detect import prepare_archive
from core.archives.inflate import zstd_module
from core.archives.open import open_archive
from core.errors import ArchiveError, ItemError, ItemErrorCode
from core.settings import ApiSettings, ImageLimits, Settings, StorageSettings
from core.storage.base import ObjectStorage
from core.storage.local import LocalStorage
from tests.support.s3 import make_bucket, put_object, running_s3, storage_in

_random = random.Random(7)
FILES = {
    name: _random.randbytes(_random.randint(1, 5000))
    for name in (
        "a.jpg",
        "b c.png",
        "notes.txt",
        "sub/x.jpg",
        "sub/ü é.jpg",
        "sub/deep/日本.jpg",
        "sub/.hidden.jpg",
        "z/-1.jpg",
    )
} | {"zeros.bmp": bytes(100_000)}
LITTER = ("__MACOSX/._a.jpg", ".DS_Store", "sub/Thumbs.db", "sub/._x.jpg", "sub/desktop.ini")
FOLDERS = ("__MACOSX", "sub", "sub/deep", "z")
LIMIT = 200_000
TOO_LARGE = bytes(LIMIT + 1)


@dataclass
class Place:
    """Where one test's archives lie, and how DermQ gets at them."""

    folder: Path
    storage: ObjectStorage
    settings: Settings
    put_s3: Callable[[str, bytes], None]

    def prepare(self, source: dict[str, Any]) -> ArchiveRef:
        ref = prepare_archive(source, self.storage, "jobs/1/plain.tar", self.settings)
        return ArchiveRef.from_json(ref.to_json())

    def open(self, source: dict[str, Any]) -> Archive:
        return open_archive(self.prepare(source), self.storage, self.settings)

    def upload(self, data: bytes, filename: str) -> dict[str, Any]:
        with self.storage.writer("uploads/1") as writer:
            writer.write(data)
            writer.commit()
        return {"kind": "upload", "key": "uploads/1", "filename": filename}


def zip_of(files: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED, folders: bool = True) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name in FOLDERS if folders else ():
            archive.mkdir(name)
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tar_of(files: dict[str, bytes], *, mode: str = "w:", format: int = tarfile.PAX_FORMAT, folders: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=format) as archive:  # type: ignore[call-overload]
        for name in FOLDERS if folders else ():
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            archive.addfile(info)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def zstd_tar(files: dict[str, bytes]) -> bytes:
    module = zstd_module()
    assert module is not None
    return bytes(module.compress(tar_of(files)))


def seven_zip(place: Place, files: dict[str, bytes]) -> bytes:
    (place.folder / "empty").mkdir(exist_ok=True)
    buffer = io.BytesIO()
    with py7zr.SevenZipFile(buffer, "w") as archive:
        for name in FOLDERS:
            archive.write(place.folder / "empty", name)
        for name, data in files.items():
            archive.writestr(data, name)
    return buffer.getvalue()


def in_folder(place: Place, files: dict[str, bytes]) -> dict[str, Any]:
    root = place.folder / "images"
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return {"kind": "path", "path": str(root)}


def in_s3(place: Place, files: dict[str, bytes]) -> dict[str, Any]:
    for name, data in files.items():
        place.put_s3(f"some/images/{name}", data)
    for name in FOLDERS:
        place.put_s3(f"some/images/{name}/", b"")  # as consoles mark folders
    place.put_s3("some/images-of-others/x.jpg", b"not ours")
    return {"kind": "s3", "uri": "s3://foreign/some/images/"}


def as_path(place: Place, data: bytes) -> dict[str, Any]:
    (place.folder / "on the server").write_bytes(data)
    return {"kind": "path", "path": str(place.folder / "on the server")}


def as_s3_object(place: Place, data: bytes) -> dict[str, Any]:
    place.put_s3("some/archive", data)
    return {"kind": "s3", "uri": "s3://foreign/some/archive"}


FORMATS: dict[str, Callable[[Place, dict[str, bytes]], dict[str, Any]]] = {
    "zip-deflated": lambda place, files: place.upload(zip_of(files), "a.zip"),
    "zip-stored": lambda place, files: place.upload(zip_of(files, method=zipfile.ZIP_STORED), "a.zip"),
    "zip-bzip2": lambda place, files: place.upload(zip_of(files, method=zipfile.ZIP_BZIP2), "a.zip"),
    "zip-lzma": lambda place, files: place.upload(zip_of(files, method=zipfile.ZIP_LZMA), "a.zip"),
    "zip-behind-a-prefix": lambda place, files: place.upload(b"#!/bin/sh\n" * 99 + zip_of(files), "setup.bin"),
    "zip-on-a-path": lambda place, files: as_path(place, zip_of(files)),
    "zip-on-s3": lambda place, files: as_s3_object(place, zip_of(files)),
    "tar-pax": lambda place, files: place.upload(tar_of(files), "a.tar"),
    "tar-gnu": lambda place, files: place.upload(tar_of(files, format=tarfile.GNU_FORMAT), "a.tar"),
    "tar-ustar": lambda place, files: place.upload(tar_of(files, format=tarfile.USTAR_FORMAT), "misnamed.zip"),
    "tar-gz": lambda place, files: place.upload(tar_of(files, mode="w:gz"), "a.tgz"),
    "tar-bz2": lambda place, files: place.upload(tar_of(files, mode="w:bz2"), "a.tar.bz2"),
    "tar-xz": lambda place, files: place.upload(tar_of(files, mode="w:xz"), "a.tar.xz"),
    "7z": lambda place, files: place.upload(seven_zip(place, files), "a.7z"),
    "7z-on-s3": lambda place, files: as_s3_object(place, seven_zip(place, files)),
    "tar-on-s3": lambda place, files: as_s3_object(place, tar_of(files)),
    "tar-gz-on-s3": lambda place, files: as_s3_object(place, tar_of(files, mode="w:gz")),
    "folder": in_folder,
    "s3-prefix": in_s3,
}
if zstd_module() is not None:
    FORMATS["tar-zstd"] = lambda place, files: place.upload(zstd_tar(files), "a.tar.zst")


@pytest.fixture(scope="module")
def s3() -> Iterator[StorageSettings]:
    with running_s3() as settings:
        make_bucket(settings, "own")
        yield settings


@pytest.fixture
def place(tmp_path: Path, s3: StorageSettings) -> Iterator[Place]:
    storage = LocalStorage(tmp_path / "objects")
    api = ApiSettings(source_roots=(tmp_path,), allow_s3_sources=("s3://foreign", "s3://no-such-bucket"))
    settings = Settings(storage=s3, image=ImageLimits(max_bytes=LIMIT), api=api)
    make_bucket(s3, "foreign")
    yield Place(tmp_path, storage, settings, lambda key, data: put_object(s3, "foreign", key, data))
    storage_in(s3, "foreign").delete_prefix("")


@pytest.fixture(params=FORMATS)
def pack(request: pytest.FixtureRequest) -> Callable[[Place, dict[str, bytes]], dict[str, Any]]:
    return FORMATS[request.param]


Pack = Callable[[Place, dict[str, bytes]], dict[str, Any]]


def test_members_and_bytes_are_those_packed(pack: Pack, place: Place) -> None:
    archive = place.open(pack(place, FILES | dict.fromkeys(LITTER, b"litter")))
    members = list(archive.members())
    assert {member.name: member.size for member in members} == {name: len(data) for name, data in FILES.items()}
    assert len(members) == len(FILES)
    assert all(member.error is None for member in members)
    assert archive.skipped == len(LITTER) + len(FOLDERS)
    for member in random.Random(3).sample(members * 2, 2 * len(members)):
        assert archive.read(member) == FILES[member.name]
    archive.close()


def test_another_process_reads_by_the_index_alone(pack: Pack, place: Place) -> None:
    ref = place.prepare(pack(place, FILES))
    first = open_archive(ref, place.storage, place.settings)
    lines = [member.to_line() for member in first.members()]
    first.close()
    second = open_archive(ArchiveRef.from_json(ref.to_json()), place.storage, place.settings)
    for line in reversed(lines):
        member = Member.from_line(line)
        assert second.read(member) == FILES[member.name]
    second.close()


def test_listing_again_gives_the_same(pack: Pack, place: Place) -> None:
    archive = place.open(pack(place, FILES | dict.fromkeys(LITTER, b"litter")))
    first, skipped = list(archive.members()), archive.skipped
    assert list(archive.members()) == first
    assert archive.skipped == skipped
    archive.close()


def test_empty_and_too_large_members_are_rows(pack: Pack, place: Place) -> None:
    archive = place.open(pack(place, {"big.bmp": TOO_LARGE, "empty.jpg": b"", "fits.bmp": TOO_LARGE[1:], "good.jpg": b"good"}))
    members = {member.name: member for member in archive.members()}
    assert {name: member.error for name, member in members.items()} == {
        "big.bmp": ItemErrorCode.TOO_LARGE,
        "empty.jpg": ItemErrorCode.EMPTY,
        "fits.bmp": None,
        "good.jpg": None,
    }
    assert archive.read(members["good.jpg"]) == b"good"
    assert archive.read(members["fits.bmp"]) == TOO_LARGE[1:]
    for name in ("big.bmp", "empty.jpg"):
        with pytest.raises(ItemError) as caught:
            archive.read(members[name])
        assert caught.value.code is members[name].error
        assert str(caught.value)
    archive.close()


def test_prepare_may_run_again(pack: Pack, place: Place) -> None:
    source = pack(place, FILES)
    assert place.prepare(source) == place.prepare(source)


@pytest.mark.parametrize("where", ["path", "upload", "s3"])
def test_a_single_image(place: Place, where: str) -> None:
    data = b"\xff\xd8\xff" + bytes(1000)
    source = {
        "path": lambda: as_path(place, data),
        "upload": lambda: place.upload(data, "lesion.png"),
        "s3": lambda: as_s3_object(place, data),
    }[where]()
    name = {"path": "on the server", "upload": "lesion.png", "s3": "archive"}[where]
    ref = place.prepare(source)
    assert ref.kind is ArchiveKind.SINGLE
    archive = open_archive(ref, place.storage, place.settings)
    (member,) = archive.members()
    assert (member.name, member.size, archive.skipped) == (name, len(data), 0)
    assert archive.read(member) == data
    archive.close()


@pytest.mark.parametrize("where", ["path", "upload", "s3"])
def test_a_manifest(place: Place, where: str) -> None:
    rows = "dx,Image,age\n" + "".join(f'nv,"{name}",50\n' for name in FILES) + "nv,gone.jpg,50\nnv,,50\n"
    if where == "s3":
        in_s3(place, FILES)
        place.put_s3("some/images/list", rows.encode())
        source = {"kind": "s3", "uri": "s3://foreign/some/images/list"}
    else:
        root = Path(in_folder(place, FILES)["path"])
        (root / "list").write_text(rows)
        source = {"kind": "path", "path": str(root / "list")}
        if where == "upload":
            source = place.upload(rows.encode(), "list.csv") | {"root": str(root)}
    ref = place.prepare(source)
    assert ref.kind is ArchiveKind.MANIFEST
    archive = open_archive(ref, place.storage, place.settings)
    members = list(archive.members())
    assert [member.name for member in members] == [*FILES, "gone.jpg"]
    assert archive.skipped == 1
    for member in members[:-1]:
        assert archive.read(member) == FILES[member.name]
    with pytest.raises(ItemError) as caught:
        archive.read(members[-1])
    assert caught.value.code is ItemErrorCode.NOT_FOUND
    archive.close()


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "path", "path": "/no/such/archive.zip"},
        {"kind": "upload", "key": "uploads/gone", "filename": "gone.zip"},
        {"kind": "s3", "uri": "s3://foreign/nothing/here"},
        {"kind": "s3", "uri": "s3://no-such-bucket/nothing/here"},
        {"kind": "s3", "uri": "s3://no-such-bucket"},
        {"kind": "s3", "uri": "nonsense"},
        {"kind": "ftp"},
    ],
    ids=str,
)
def test_what_is_not_there_fails_the_job(place: Place, source: dict[str, Any]) -> None:
    with pytest.raises(ArchiveError):
        place.prepare(source)


def test_an_upload_deleted_after_prepare(place: Place) -> None:
    ref = place.prepare(place.upload(zip_of(FILES), "a.zip"))
    place.storage.delete("uploads/1")
    with pytest.raises(ArchiveError, match="gone"):
        open_archive(ref, place.storage, place.settings)


def test_gzip_of_something_else(place: Place) -> None:
    with pytest.raises(ArchiveError, match="expected a TAR inside the gzip"):
        place.prepare(place.upload(gzip.compress(b"\xff\xd8\xff" * 1000), "photo.jpg.gz"))
    assert [info.key for info in place.storage.list("jobs/")] == []


@pytest.mark.parametrize("name", ["ham10000/ham10000_200x150.zip", "isic9/isic9_180x180.zip"])
def test_real_archives_read_as_zipfile_reads_them(place: Place, shared_data: Path, name: str) -> None:
    place = replace(place, settings=Settings(api=ApiSettings(source_roots=(shared_data,))))
    archive = place.open({"kind": "path", "path": str(shared_data / name)})
    with zipfile.ZipFile(shared_data / name) as expected:
        files = {info.filename: info.CRC for info in expected.infolist() if not info.is_dir()}
    members = list(archive.members())
    assert [member.name for member in members] == list(files)
    assert all(zlib.crc32(archive.read(member)) == files[member.name] for member in members)
    archive.close()


def test_real_folder(place: Place, shared_data: Path) -> None:
    place = replace(place, settings=Settings(api=ApiSettings(source_roots=(shared_data,))))
    archive = place.open({"kind": "path", "path": str(shared_data / "ham10000/originals_600x450")})
    members = list(archive.members())
    assert len(members) + archive.skipped == 39
    assert {len(archive.read(member)) for member in members} == {member.size for member in members}
    archive.close()
