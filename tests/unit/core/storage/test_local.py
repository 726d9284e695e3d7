"""What only the local storage promises: durability by rename, no leftovers, prompt failures."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.errors import NotFoundError, StorageUnavailableError
from core.storage import scan
from core.storage.local import LocalFile, LocalStorage
from core.storage.scan import EntryKind, scan_sorted


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_abort_leaves_no_file(tmp_path: Path) -> None:
    with LocalStorage(tmp_path).writer("a/b") as writer:
        writer.write(b"x" * 100)
        assert len(files_below(tmp_path)) == 1
    assert files_below(tmp_path) == []


def test_a_reader_keeps_the_version_it_opened(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    for data in (b"old", b"new"):
        with storage.writer("k") as writer:
            writer.write(data)
            writer.commit()
        if data == b"old":
            access = storage.open("k")
    assert access.read_at(0, 3) == b"old"
    access.close()
    access.close()


def test_unfinished_writes_cannot_be_reached_by_key(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unfinished writes"):
        LocalStorage(tmp_path).open(".incoming/x")


def test_delete_tidies_folders_even_while_others_write_there(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)

    def churn(name: str) -> int:
        for _ in range(60):
            with storage.writer(f"job/chunk/{name}") as writer:
                writer.write(b"x")
                writer.commit()
            storage.delete(f"job/chunk/{name}")
        return 60

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(churn, "ab")) == [60, 60]  # raises what a thread raised
    assert not (tmp_path / "job").exists()


def test_a_folder_that_came_and_went_in_between_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, make, refused = LocalStorage(tmp_path), os.mkdir, []

    def refuse_once(path: Path, mode: int = 0o777) -> None:
        if Path(path).name == "chunk" and not refused:
            refused.append(path)
            raise FileExistsError(errno.EEXIST, "File exists", str(path))  # made by another writer, then deleted
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", refuse_once)
    with storage.writer("job/chunk/a") as writer:
        writer.write(b"x")
        writer.commit()
    assert len(refused) == 1
    assert (tmp_path / "job/chunk/a").read_bytes() == b"x"


def test_a_killed_writer_leaves_an_orphan_that_is_removed(tmp_path: Path) -> None:
    code = f"""
        import os, signal
        from pathlib import Path
        from core.storage.local import LocalStorage
        writer = LocalStorage(Path({str(tmp_path)!r})).writer("k")
        writer.write(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, cwd=Path(__file__).parents[4])
    storage = LocalStorage(tmp_path)
    assert list(storage.list("")) == []
    assert len(files_below(tmp_path)) == 1
    assert storage.remove_orphans() == 0  # too young to be sure
    with storage.writer("alive") as writer:
        writer.write(b"x")
        assert storage.remove_orphans(older_than_s=0) == 1
        writer.commit()
    assert [info.key for info in storage.list("")] == ["alive"]


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc").is_dir(), reason="needs a place that nobody can write")
def test_a_place_that_cannot_be_written_is_unavailable() -> None:
    storage = LocalStorage(Path("/proc/dermq"))
    with pytest.raises(StorageUnavailableError):
        storage.check()


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", ".", "missing"):
        with pytest.raises(NotFoundError):
            LocalFile(tmp_path / name)


def test_entries_sort_as_their_paths_do_however_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_RUN_ENTRIES", 7)
    (tmp_path / "a").mkdir()
    names = ["a-b", "a.jpg", "a b", "Z", "ü", "new\nline", *(f"{n}.jpg" for n in range(40))]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "link").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    raw = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    os.close(os.open(raw, os.O_CREAT | os.O_WRONLY))
    found = list(scan_sorted(tmp_path))
    paths = [os.fsencode(name) + (b"/" if kind is EntryKind.FOLDER else b"") for name, kind in found]
    assert paths == sorted(paths)
    assert {name for name, _ in found} == {*names, "a", "link", "pipe", "\udcff\udcfe.jpg"}
    assert dict(found)["link"] is EntryKind.LINK
    assert dict(found)["pipe"] is EntryKind.OTHER


def test_writing_holds_no_more_than_a_block(tmp_path: Path) -> None:
    block = bytes(1 << 20)
    tracemalloc.start()
    try:
        with LocalStorage(tmp_path).writer("big") as writer:
            for _ in range(64):
                writer.write(block)
            writer.commit()
        assert tracemalloc.get_traced_memory()[1] < 2 * len(block)
    finally:
        tracemalloc.stop()
