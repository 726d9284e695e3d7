"""Folders and manifests: nothing outside the root is opened, whatever links, names and renames say."""

from __future__ import annotations

import os
import socket
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.archives.base import Archive, Member
from core.archives.beneath import RootFolder
from core.archives.folder import FolderArchive
from core.archives.manifest import ManifestArchive, looks_like_manifest, read_paths
from core.archives.notes import ArchiveNote
from core.errors import ArchiveError, ItemErrorCode, StorageUnavailableError
from tests.support.archive_bytes import BytesAccess, outcome, outcomes

LIMIT = 100_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "a.jpg").write_bytes(b"a")
    (root / "sub" / "b.jpg").write_bytes(b"b")
    (root / "sub" / "deep" / "c d.jpg").write_bytes(b"c")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.jpg").write_bytes(b"secret")
    return root


@pytest.fixture
def folder(root: Path) -> Iterator[FolderArchive]:
    archive = FolderArchive(root, LIMIT)
    yield archive
    archive.close()


def test_order_is_that_of_the_paths_bytes(root: Path, folder: FolderArchive) -> None:
    for name in ("sub-2.jpg", "sub.jpg", "Z.jpg", "é.jpg"):
        (root / name).write_bytes(b"x")
    names = [member.name for member in folder.members()]
    assert names == sorted(names, key=os.fsencode)
    assert len(names) == 7


def test_links_are_never_followed(root: Path, folder: FolderArchive) -> None:
    (root / "link.jpg").symlink_to("../secret.jpg")
    (root / "inner.jpg").symlink_to("a.jpg")
    (root / "dangling.jpg").symlink_to("nothing")
    (root / "linked").symlink_to("../outside")
    (root / "loop").symlink_to("loop")
    unsafe = dict.fromkeys(["link.jpg", "inner.jpg", "dangling.jpg", "loop"], ItemErrorCode.UNSAFE_PATH)
    assert outcomes(folder) == unsafe | {"a.jpg": b"a", "sub/b.jpg": b"b", "sub/deep/c d.jpg": b"c"}
    assert folder.skipped == 3  # sub, sub/deep and the linked folder


def test_pipes_and_sockets_are_never_opened(root: Path, folder: FolderArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "pipe.jpg")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind("socket.jpg")
        found = outcomes(folder)
    assert found["pipe.jpg"] is found["socket.jpg"] is ItemErrorCode.UNSAFE_PATH


def test_what_changes_after_the_listing_has_its_code(root: Path, folder: FolderArchive) -> None:
    members = {member.name: member for member in folder.members()}
    a, b, c = members["a.jpg"], members["sub/b.jpg"], members["sub/deep/c d.jpg"]
    (root / "a.jpg").write_bytes(b"grown")
    assert outcome(folder, a) == b"grown"
    (root / "a.jpg").write_bytes(bytes(LIMIT + 1))
    assert outcome(folder, a) is ItemErrorCode.TOO_LARGE
    (root / "a.jpg").write_bytes(b"")
    assert outcome(folder, a) is ItemErrorCode.EMPTY
    (root / "a.jpg").unlink()
    assert outcome(folder, a) is ItemErrorCode.NOT_FOUND
    (root / "a.jpg").symlink_to("../secret.jpg")
    assert outcome(folder, a) is ItemErrorCode.UNSAFE_PATH
    (root / "a.jpg").unlink()
    os.mkfifo(root / "a.jpg")
    assert outcome(folder, a) is ItemErrorCode.UNSAFE_PATH
    (root / "sub" / "deep").rename(root / "away")
    (root / "sub" / "deep").symlink_to("../../outside")
    assert outcome(folder, c) is ItemErrorCode.UNSAFE_PATH
    (root / "sub").rename(root / "gone")
    assert outcome(folder, b) is ItemErrorCode.NOT_FOUND
    (root / "sub").write_bytes(b"now a file")
    assert outcome(folder, b) is ItemErrorCode.NOT_FOUND


def test_names_that_are_no_utf8(root: Path, folder: FolderArchive) -> None:
    os.close(os.open(os.fsencode(root) + b"/\xff.jpg", os.O_CREAT | os.O_WRONLY))
    (root / "\udcff.jpg").write_bytes(b"odd")
    assert outcomes(folder)["\udcff.jpg"] == b"odd"


def test_litter_is_counted_as_in_an_archive_of_the_folder(root: Path, folder: FolderArchive) -> None:
    (root / "__MACOSX" / "sub").mkdir(parents=True)
    (root / "__MACOSX" / "sub" / "._b.jpg").write_bytes(b"x")
    (root / "Thumbs.db").write_bytes(b"x")
    assert len(outcomes(folder)) == 3
    assert folder.skipped == 2 + 3 + 1


def test_a_root_that_is_not_mounted_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError, match="is it mounted"):
        FolderArchive(tmp_path / "nothing", LIMIT)


def test_a_folder_that_goes_away_while_listed_fails_the_archive(root: Path, folder: FolderArchive) -> None:
    members = folder.members()
    next(members)
    (root / "sub").rename(root.parent / "moved")
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(members)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything: be somebody else meanwhile."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_is_closed_to_the_reader_is_a_failed_row(tmp_path: Path) -> None:
    for name in ("open", "closed", "listed", "__MACOSX"):
        (tmp_path / name).mkdir(mode=0o755)
        (tmp_path / name / "a.jpg").write_bytes(b"a")
    (tmp_path / "secret.jpg").write_bytes(b"s")
    for name, mode in {"": 0o755, "closed": 0o333, "listed": 0o444, "__MACOSX": 0o333, "secret.jpg": 0o222}.items():
        (tmp_path / name).chmod(mode)
    archive = FolderArchive(tmp_path, LIMIT)
    with without_privileges():
        found = outcomes(archive)
    failed = dict.fromkeys(["closed/", "listed/a.jpg", "secret.jpg"], ItemErrorCode.NOT_FOUND)
    for name in ("closed", "listed", "__MACOSX"):
        (tmp_path / name).chmod(0o755)
    assert found == {"open/a.jpg": b"a"} | failed
    archive.close()


def test_links_to_folders_are_noted(root: Path, folder: FolderArchive) -> None:
    (root / "again").symlink_to("sub")
    (root / "Thumbs.db").write_bytes(b"x")
    list(folder.members())
    assert (folder.notes[ArchiveNote.LINKS_SKIPPED], folder.notes[ArchiveNote.ENTRIES_SKIPPED]) == (1, 1)


def test_bottomless_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / Path(*["d"] * 150)).mkdir(parents=True)
    with pytest.raises(ArchiveError, match="folders within folders"):
        list(FolderArchive(tmp_path, LIMIT).members())


@pytest.mark.parametrize("name", ["../secret.jpg", "sub/../../secret.jpg", "/etc/passwd", "", ".", "sub//b.jpg", "a\0.jpg"])
def test_no_name_leads_outside_the_root(root: Path, name: str) -> None:
    archive = FolderArchive(root, LIMIT)
    assert outcome(archive, Member(name)) is ItemErrorCode.UNSAFE_PATH
    archive.close()


def test_listing_is_flat_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.storage.scan._RUN_ENTRIES", 500)
    for number in range(4000):
        os.close(os.open(tmp_path / f"{number:0100}.jpg", os.O_CREAT | os.O_WRONLY))
    archive = FolderArchive(tmp_path, LIMIT)
    tracemalloc.start()
    try:
        assert sum(1 for _ in archive.members()) == 4000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
        archive.close()


# Manifests


def manifest(text: str | bytes, root: Path) -> Archive:
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    return ManifestArchive(BytesAccess(data), str(root), RootFolder(root), LIMIT)


def test_paths_that_leave_the_root_are_failed_rows(root: Path) -> None:
    (root / "link.jpg").symlink_to("../secret.jpg")
    (root / "linked").symlink_to("../outside")
    names = ["../secret.jpg", "sub/../../secret.jpg", str(root.parent / "secret.jpg"), "/etc/passwd", "C:\\a.jpg", "link.jpg"]
    names += ["linked/x.jpg", "file:///etc/passwd", "http://host/a.jpg", "..", ".", str(root) + "/../secret.jpg"]
    archive = manifest("path\n" + "\n".join(names) + "\n", root)
    assert outcomes(archive) == dict.fromkeys(names, ItemErrorCode.UNSAFE_PATH)
    archive.close()


def test_paths_inside_the_root_in_any_spelling(root: Path) -> None:
    names = {"./a.jpg": b"a", "sub/../a.jpg": b"a", "sub//b.jpg": b"b", str(root / "a.jpg"): b"a", " a.jpg ": b"a"}
    names |= {"sub\\b.jpg": b"b", "sub/deep/c d.jpg": b"c", "a": b"a", "sub/b": b"b"}
    archive = manifest("path\n" + "\n".join(names) + "\n", root)
    assert outcomes(archive) == names
    archive.close()


def test_missing_large_and_empty_files_are_rows(root: Path) -> None:
    (root / "big.bmp").write_bytes(bytes(LIMIT + 1))
    (root / "empty.jpg").write_bytes(b"")
    archive = manifest("path\nbig.bmp\nempty.jpg\ngone.jpg\nsub\na.jpg\na.jpg/x\na.jpg", root)
    assert [member.error for member in archive.members()] == [
        ItemErrorCode.TOO_LARGE,
        ItemErrorCode.EMPTY,
        ItemErrorCode.NOT_FOUND,
        ItemErrorCode.UNSAFE_PATH,
        None,
        ItemErrorCode.NOT_FOUND,
        None,
    ]
    archive.close()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("path\na.jpg\n", ["a.jpg"]),
        ("\ufeffPath;dx\r\na.jpg;nv\r\n", ["a.jpg"]),
        ("dx\tFILENAME\nnv\tb c.jpg\n", ["b c.jpg"]),
        ('id,image\n1,"a, b ""c"".jpg"\n2,"new\nline.jpg"\n', ['a, b "c".jpg', "new\nline.jpg"]),
        ("a.jpg\nb.jpg\n", ["a.jpg", "b.jpg"]),
        ("whatever\na.jpg\n", ["a.jpg"]),
        ("lesion_id,image_id,dx\nHAM_1,ISIC_1,nv\n\nHAM_2\n", ["ISIC_1", ""]),
        ("path,image\np,i\n", ["p"]),
        ("image,path\ni,p\n", ["p"]),
        ("path\n\udcff.jpg", ["\udcff.jpg"]),
    ],
)
def test_columns_and_quoting(text: str, names: list[str]) -> None:
    data = text.encode("utf-8", "surrogateescape")
    assert list(read_paths(BytesAccess(data))) == names
    assert looks_like_manifest(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"id,label\n1,nv\n", "expected a CSV with a column path"),
        (b"path\n" + b"x" * 3_000_000, "fewer than"),
        (b'path\n"' + b"x\n" * 200_000, "damaged CSV"),
        (b"path\na\0.jpg\n", "NUL"),
        (b"", "expected a CSV with a column"),
    ],
    ids=["no column", "endless line", "endless quote", "nul", "empty"],
)
def test_what_is_no_manifest_fails_the_archive(data: bytes, reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        list(read_paths(BytesAccess(data)))


def test_texts_that_are_no_manifest() -> None:
    for data in (b"hello world\n", b"{}", b"<html>\n<body>", b"id,label\n1,nv\n", b"path\0", b"", b"PK..", b'"' * 5):
        assert not looks_like_manifest(data)


def test_manifests_are_read_in_constant_memory(root: Path) -> None:
    data = b"path\n" + b"a.jpg\n" * 100_000
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_paths(BytesAccess(data))) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()
