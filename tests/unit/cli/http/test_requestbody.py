"""What is sent: a folder as a ZIP made on the fly, read back by the archive reader that the server uses."""

from __future__ import annotations

import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.http.requestbody import folder_entries, list_folder, read_payload
from cli.output.exit_codes import CliError, ExitCode
from core.archives.base import ArchiveKind, ArchiveRef
from core.archives.folder import FolderArchive
from core.archives.open import open_archive
from core.settings import ApiSettings, Settings
from core.storage.local import LocalStorage
from dermq.errors import UnreadableError
from dermq.files import BLOCK_BYTES
from dermq.zipstream import zip_stream


def read_back(root: Path, target: Path) -> dict[str, bytes]:
    target.write_bytes(b"".join(zip_stream(folder_entries(root))))
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def as_the_server_reads(folder: Path, sent: bytes) -> dict[bytes, bytes]:
    """Names and contents of a ZIP."""
    (folder / "a.zip").write_bytes(sent)
    ref = ArchiveRef(ArchiveKind.ZIP, "path", str(folder / "a.zip"), "a.zip")
    archive = open_archive(ref, LocalStorage(folder), Settings(api=ApiSettings(source_roots=(folder,))))
    try:
        return {os.fsencode(member.name): archive.read(member) for member in archive.members()}
    finally:
        archive.close()


def test_a_folder_comes_back_byte_for_byte(tmp_path: Path) -> None:
    files = {
        "a.jpg": b"first",
        "Läsionen/Ωmega/皮膚 1.png": b"\xff" * 3_000_000,
        "b/empty.jpg": b"",
        "b/.hidden.jpg": b"seen",
    }
    root = tmp_path / "in"
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    assert read_back(root, tmp_path / "out.zip") == files


def test_names_and_order_are_those_of_a_folder_that_the_server_reads_itself(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for name in ("b/1.jpg", "a.jpg", "b.jpg", "B/2.jpg", "a/x.jpg", "Thumbs.db", "__MACOSX/._a.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    archive = FolderArchive(root.resolve(), 1000)
    expected = [member.name for member in archive.members()]
    archive.close()
    assert list(read_back(root, tmp_path / "out.zip")) == expected
    assert "Thumbs.db" not in expected


def test_links_and_pipes_are_entries_without_content(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"not to be sent")
    root = tmp_path / "in"
    (root / "folder").mkdir(parents=True)
    (root / "image.jpg").write_bytes(b"image")
    (root / "link.jpg").symlink_to(secret)
    (root / "folder-link").symlink_to(tmp_path)
    os.mkfifo(root / "pipe.jpg")
    assert read_back(root, tmp_path / "out.zip") == {"image.jpg": b"image", "link.jpg": b"", "pipe.jpg": b""}


def test_a_folder_of_any_size_takes_constant_memory(tmp_path: Path) -> None:
    root = tmp_path / "in"
    root.mkdir()
    with (root / "large.bin").open("wb") as file:
        file.truncate(60 * BLOCK_BYTES)
    for number in range(300):
        (root / f"{number}.jpg").write_bytes(b"x" * 10_000)
    tracemalloc.start()
    try:
        largest = max(len(block) for block in zip_stream(folder_entries(root)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert largest <= 2 * BLOCK_BYTES
    assert peak < 8 * BLOCK_BYTES


def test_a_second_attempt_sends_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"1")
    (tmp_path / "b.jpg").write_bytes(b"2")
    os.utime(tmp_path / "a.jpg", (0, 0))  # before ZIP's first year
    payload = read_payload(tmp_path)
    assert b"".join(payload.open()) == b"".join(payload.open())
    size = len(b"".join(payload.open()))
    assert (payload.name, payload.size, payload.exact) == (f"{tmp_path.name}.zip", size, False)


@settings(max_examples=25, deadline=None)
@given(
    st.sets(
        st.binary(min_size=1, max_size=30).filter(lambda name: not set(name) & {0, 47, 92} and name not in (b".", b"..")),
        max_size=5,
    )
)
def test_any_file_name_can_be_sent(tmp_path_factory: pytest.TempPathFactory, names: set[bytes]) -> None:
    root = tmp_path_factory.mktemp("names")
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    found = as_the_server_reads(tmp_path_factory.mktemp("sent"), b"".join(zip_stream(folder_entries(root))))
    assert found == {name: name for name in (os.fsencode(member.name) for member in list_folder(root))}


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(os.urandom(BLOCK_BYTES + 17))
    payload = read_payload(path)
    assert b"".join(payload.open()) == path.read_bytes()
    assert (payload.name, payload.size, payload.exact) == ("x.tar.gz", BLOCK_BYTES + 17, True)


def test_nothing_to_send_is_told(tmp_path: Path) -> None:
    for path, word in ((tmp_path / "gone.zip", "does not exist"), (tmp_path, "holds no file")):
        with pytest.raises(CliError, match=word) as caught:
            read_payload(path)
        assert caught.value.code == ExitCode.USAGE


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x" * 3_000_000)
    (tmp_path / "b.jpg").write_bytes(b"x")
    blocks = zip_stream(folder_entries(tmp_path))
    next(blocks)
    (tmp_path / "b.jpg").unlink()
    with pytest.raises(UnreadableError, match=r"cannot read .*b\.jpg"):
        list(blocks)


def test_names_that_are_no_utf8_arrive_as_they_are(tmp_path: Path) -> None:
    """What the server finds in the ZIP is what it would find in the folder."""
    names = {b"odd\xff.jpg", rb"odd\xff.jpg", "ümlaut.jpg".encode(), b"plain.jpg", b"new\nline?#%20.jpg"}
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(b"x")
    assert as_the_server_reads(tmp_path, b"".join(zip_stream(folder_entries(folder)))) == dict.fromkeys(names, b"x")
