"""What is sent for a file, a folder, and several of both. The ZIP itself: tests/unit/cli/http/test_requestbody.py."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dermq.bodies import Payload, file_payload, list_entries, read_payload
from dermq.errors import UnreadableError
from dermq.zipstream import Entry, measure, zip_stream


def unpacked(payload: Payload) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(b"".join(payload.open()))) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "clinic"
    for name in ("b/1.jpg", "a.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    (root / "link.jpg").symlink_to(root / "a.jpg")
    return root


def test_a_file_is_sent_as_it_is(folder: Path) -> None:
    payload = read_payload(folder / "a.jpg")
    assert (payload.name, payload.size, payload.exact, b"".join(payload.open())) == ("a.jpg", 5, True, b"a.jpg")


def test_a_folder_is_a_zip_with_names_within_it(folder: Path) -> None:
    payload = read_payload(str(folder))
    assert (payload.name, payload.exact) == ("clinic.zip", False)
    assert payload.size == len(b"".join(payload.open()))
    assert unpacked(payload) == {"a.jpg": b"a.jpg", "b/1.jpg": b"b/1.jpg", "link.jpg": b""}
    assert b"".join(payload.open()) == b"".join(payload.open())


def test_several_paths_are_one_zip(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"x")
    payload = read_payload([tmp_path / "x.png", folder, tmp_path / "x.png"])
    assert unpacked(payload) == {
        "x.png": b"x",
        "clinic/a.jpg": b"a.jpg",
        "clinic/b/1.jpg": b"b/1.jpg",
        "clinic/link.jpg": b"",
    }


def test_two_files_of_one_name_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"other")
    with pytest.raises(UnreadableError, match=r"two files are named a\.jpg"):
        read_payload([tmp_path / "a.jpg", folder / "a.jpg"])


def test_nothing_to_send_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableError, match="holds no file"):
        read_payload(tmp_path / "empty")
    with pytest.raises(UnreadableError, match="holds no file"):
        read_payload([])
    with pytest.raises(UnreadableError, match=r"gone\.zip does not exist"):
        read_payload(tmp_path / "gone.zip")


def test_a_file_that_vanishes_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableError, match=r"cannot read .*gone\.zip: No such file"):
        file_payload(folder / "gone.zip")
    payload = file_payload(folder / "a.jpg")
    (folder / "a.jpg").unlink()
    with pytest.raises(UnreadableError, match=r"cannot read .*a\.jpg: No such file"):
        list(payload.open())
    # Between the look at a path and the look at its size.
    monkeypatch.setattr(Path, "is_file", lambda _path: True)
    for read in (read_payload, lambda path: list_entries([path])):
        with pytest.raises(UnreadableError, match=r"cannot read .*gone\.zip: No such file"):
            read(folder / "gone.zip")


def test_a_named_link_is_followed_also_among_several(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"x")
    assert unpacked(read_payload([tmp_path / "x.png", folder / "link.jpg"])) == {"x.png": b"x", "link.jpg": b"a.jpg"}


@pytest.mark.parametrize("limits", [(2**31 - 1, 2**16 - 1), (700, 2**16 - 1), (2**31 - 1, 2)], ids=["zip", "bytes", "files"])
@given(sizes=st.lists(st.integers(0, 900), max_size=6), name=st.sampled_from(["a", "\u00e4" * 40, "\udce4"]))
def test_the_length_of_a_zip_is_known_before(
    tmp_path_factory: pytest.TempPathFactory, limits: tuple[int, int], sizes: list[int], name: str
) -> None:
    """With ZIP64 too, whose limits are brought down to what a test can write."""
    folder = tmp_path_factory.mktemp("sized")
    entries = []
    for number, size in enumerate(sizes):
        path = folder / f"{number}"
        path.write_bytes(b"x" * size)
        entries.append(Entry(f"{name}{number}", path, size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", limits[0])
        patch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", limits[1])
        written = b"".join(zip_stream(entries, as_listed=True))
        assert measure(entries).size == len(written)
        assert written == b"".join(zip_stream(entries))


def test_a_folder_is_told_from_others_by_names_sizes_and_times(folder: Path) -> None:
    first = read_payload(folder).identity
    assert first
    assert read_payload([folder / "a.jpg", folder / "b"]).identity != first
    assert read_payload(folder).identity == first
    status = (folder / "a.jpg").stat()
    (folder / "a.jpg").write_bytes(b"b.jpg")
    os.utime(folder / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read_payload(folder).identity == first  # its bytes are compared when an upload goes on
    os.utime(folder / "a.jpg", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert read_payload(folder).identity != first


@pytest.mark.parametrize(("content", "then"), [(b"longer than before", "more"), (b"a", "1")], ids=["longer", "shorter"])
def test_what_is_sent_as_listed_does_not_change(folder: Path, content: bytes, then: str) -> None:
    payload = read_payload(folder)
    assert payload.open_listed is not None
    assert b"".join(payload.open_listed()) == b"".join(payload.open())
    (folder / "a.jpg").write_bytes(content)
    assert unpacked(payload)["a.jpg"] == content
    with pytest.raises(UnreadableError, match=rf"a\.jpg had 5 bytes, and then {then}: it was changed meanwhile; submit again"):
        list(payload.open_listed())


def test_a_file_that_vanishes_from_a_folder_is_told(folder: Path) -> None:
    entries = list_entries([folder])
    (folder / "a.jpg").unlink()
    with pytest.raises(UnreadableError, match=r"cannot read .*a\.jpg: No such file"):
        measure(entries)
