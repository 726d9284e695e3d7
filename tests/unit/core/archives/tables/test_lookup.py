"""From the cell of a table to a file: found where it can mean one only, refused with the candidates where it can mean more."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
import unicodedata
from pathlib import Path

import pytest

from core.archives.base import Member
from core.archives.beneath import RootFolder
from core.archives.manifest import ManifestArchive
from core.archives.notes import ArchiveNote
from core.archives.tables import lookup as lookup_module
from core.errors import ItemErrorCode
from tests.support.archive_bytes import BytesAccess
from tests.support.servers import ROOT

LIMIT = 100_000
NFD = unicodedata.normalize("NFD", "Läsion.jpg")


def rows(root: Path, files: list[str], cells: list[str], path_column: str = "") -> list[Member]:
    """Members of a table with these cells; each file's bytes are its own path, and what is read must be those."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(os.fsencode(file))
    data = "image,dx\n" + "".join(f'"{cell}",dx of {number}\n' for number, cell in enumerate(cells))
    archive = ManifestArchive(
        BytesAccess(data.encode("utf-8", "surrogateescape")), str(root), RootFolder(root), LIMIT, path_column
    )
    members = list(archive.members())
    for member in members:
        assert member.metadata["dx"] == f"dx of {cells.index(member.name)}"
        if member.error is None:
            assert archive.read(member) == os.fsencode(member.place)
    archive.close()
    return members


def places(root: Path, files: list[str], cells: list[str]) -> list[str]:
    members = rows(root, files, cells)
    assert [member.error for member in members] == [None] * len(cells)
    return [member.place for member in members]


def test_the_layout_of_kaggle(tmp_path: Path) -> None:
    files = [f"HAM10000_images_part_{1 + number % 2}/ISIC_{number:07}.jpg" for number in range(20)]
    cells = [f"ISIC_{number:07}" for number in range(20)]
    assert places(tmp_path, files, cells) == files


@pytest.mark.parametrize(
    ("file", "cell"),
    [
        ("a.JPG", "a.jpg"),
        ("IMG_1.jpg", "img_1.JPG"),
        ("a.jpeg", "a.jpg"),
        ("scan.0001.jpg", "scan.0001"),
        ("scan.0001.PNG", "scan.0001"),
        ("a.heic", "a"),
        (NFD, "Läsion.jpg"),
        ("Läsion.jpg", NFD),
        ("sub/" + NFD, "LÄSION"),
        ("sub/deep/a.jpg", "a.jpg"),
        ("sub/deep/a.jpg", "deep/a"),
        ("sub/deep/a.jpg", "sub\\deep\\a.jpg"),
        ("sub/a.jpg", "./sub/a.jpg"),
        ("sub/a.jpg", ".\\sub\\a.jpg"),
        ("sub/a.jpg", "C:\\Users\\ada\\images\\sub\\a.jpg"),
        ("a.jpg", "/home/ada/images/a.jpg"),
        ("part_1/a.jpg", "/home/ada/images/a.jpg"),
        ("part_1/a.jpg", "\\\\server\\share\\images\\a.jpg"),
        ("L\udce4sion.jpg", "Läsion.jpg"),
        ("L\udce4sion.jpg", "L\udce4sion.jpg"),
        ("Läsion.jpg", "L\udce4sion.jpg"),
    ],
)
def test_a_file_that_is_written_otherwise(tmp_path: Path, file: str, cell: str) -> None:
    members = rows(tmp_path, [file, "other/b.jpg"], [cell]) if "\udce4" not in cell else None
    if members is None:  # the name shown is the text, not the bytes
        (tmp_path / file).write_bytes(b"x")
        data = f"image\n{cell}\n".encode("utf-8", "surrogateescape")
        archive = ManifestArchive(BytesAccess(data), str(tmp_path), RootFolder(tmp_path), LIMIT)
        members = list(archive.members())
        archive.close()
        assert members[0].name == file
    assert [(member.error, member.place) for member in members] == [(None, file)]


def test_paths_from_a_folder_above_the_root(tmp_path: Path) -> None:
    root = tmp_path / "dataset" / "images"
    root.mkdir(parents=True)
    assert places(root, ["a.jpg", "x/b.jpg"], ["images/a.jpg", "dataset/images/x/b.jpg"]) == ["a.jpg", "x/b.jpg"]


def test_absolute_paths_keep_their_folders_apart(tmp_path: Path) -> None:
    files = ["p1/img.jpg", "p2/img.jpg"]
    cells = ["D:\\study\\p1\\img.jpg", "D:\\study\\p2\\img.jpg"]
    assert places(tmp_path, files, cells) == files


def test_another_place_is_never_taken_for_the_one_that_is_written(tmp_path: Path) -> None:
    """Only p2's picture is there: the row of p1 must not get it."""
    members = rows(tmp_path, ["p2/img.jpg"], ["/study/p1/img.jpg", "/study/p2/img.jpg"])
    assert [(member.error, member.place) for member in members] == [
        (ItemErrorCode.NOT_FOUND, ""),
        (None, "p2/img.jpg"),
    ]
    assert "of a similar name there is p2/img.jpg" in members[0].error_text
    members = rows(tmp_path, [], ["p1/img.jpg"])
    assert members[0].error is ItemErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    ("files", "cell", "text"),
    [
        (["p1/a.jpg", "p2/a.jpg"], "a.jpg", "2 files may be meant: p1/a.jpg, p2/a.jpg;"),
        (["a.jpg", "a.png"], "a", "2 files may be meant: a.jpg, a.png;"),
        (["A.jpg", "x/a.jpg"], "a.JPG", "2 files may be meant: A.jpg, x/a.jpg;"),
        ([f"p{number}/a.jpg" for number in range(9)], "a", "9 files may be meant: p0/a.jpg, p1/a.jpg, p2/a.jpg and 6 more;"),
        (["a.png"], "a.jpg", "of a similar name there is a.png"),
        (["b.jpg"], "a.jpg", "no such file, nor one of a name that differs"),
    ],
)
def test_candidates_are_named(tmp_path: Path, files: list[str], cell: str, text: str) -> None:
    members = rows(tmp_path, files, [cell])
    assert [(member.error, member.place) for member in members] == [(ItemErrorCode.NOT_FOUND, "")]
    assert text in members[0].error_text


def test_one_file_for_two_rows_that_are_written_otherwise(tmp_path: Path) -> None:
    """One of the two is missing, and nothing says which: neither gets the other's picture."""
    members = rows(tmp_path, ["IMG_1.JPG"], ["img_1.jpg", "Img_1.jpg"])
    assert [member.error for member in members] == [ItemErrorCode.NOT_FOUND] * 2
    assert "another row of the table may mean it, too: 'Img_1.jpg'" in members[0].error_text
    members = rows(tmp_path, ["p/x.jpg"], ["x.jpg", "p/x.jpg"])
    assert [(member.error, member.place) for member in members] == [(ItemErrorCode.NOT_FOUND, ""), (None, "p/x.jpg")]


def test_files_that_differ_in_case_alone_keep_their_rows(tmp_path: Path) -> None:
    assert places(tmp_path, ["a.JPG", "A.JPG", "x/B.jpg"], ["a.jpg", "A.jpg", "B"]) == ["a.JPG", "A.JPG", "x/B.jpg"]


def test_a_folder_of_the_images_name(tmp_path: Path) -> None:
    assert places(tmp_path, ["IMD002/IMD002_dermoscopic/IMD002.bmp"], ["IMD002"]) == ["IMD002/IMD002_dermoscopic/IMD002.bmp"]


def test_links_and_litter_are_never_found(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (root / "sub" / "a.jpg").symlink_to("../../secret.jpg")
    (root / "linked").symlink_to(tmp_path)
    members = rows(root, ["__MACOSX/b.jpg"], ["A.JPG", "a.jpg", "secret", "b.jpg", "/elsewhere/secret.jpg"])
    assert {member.error for member in members} <= {ItemErrorCode.NOT_FOUND, ItemErrorCode.UNSAFE_PATH}
    assert {member.place for member in members} == {""}


def test_same_cell_in_many_rows(tmp_path: Path) -> None:
    (tmp_path / "part" / "a.jpg").parent.mkdir()
    (tmp_path / "part" / "a.jpg").write_bytes(b"a")
    archive = ManifestArchive(BytesAccess(b"image,dx\na,1\na,2\na.jpg,3\n"), str(tmp_path), RootFolder(tmp_path), LIMIT)
    members = list(archive.members())
    assert [(member.place, member.metadata) for member in members] == [("part/a.jpg", {"dx": str(at)}) for at in (1, 2, 3)]
    assert archive.notes[ArchiveNote.FILES_MATCHED] == 3
    archive.close()


def test_too_many_files_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup_module, "MAX_FILES", 3)
    members = rows(tmp_path, [f"p/{number}.jpg" for number in range(9)], ["p/8.jpg", "x"])
    assert [(member.error, member.place) for member in members] == [(None, "p/8.jpg"), (ItemErrorCode.NOT_FOUND, "")]
    assert "more than 3 files" in members[1].error_text


def test_a_large_table_is_searched_in_constant_memory(tmp_path: Path) -> None:
    for number in range(1000):
        os.close(os.open(tmp_path / f"ISIC_{number:090}.jpg", os.O_CREAT | os.O_WRONLY))
    small, large = (int(peak) for peak in run_alone(tmp_path, 1_000, 20_000).split())
    assert large < 1.5 * small  # the table itself has 20 times the rows


def run_alone(root: Path, *rows: int) -> str:
    """Peaks of a process of its own: here, threads that earlier tests left behind would be traced, too."""
    peaks = f"(searched_peak(Path({str(root)!r}), rows) for rows in {rows})"
    code = f"from pathlib import Path\nfrom {__name__} import searched_peak\nprint(*{peaks})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def searched_peak(root: Path, rows: int) -> int:
    """The most bytes that are held while a table of so many rows is searched for the files below `root`."""
    cells = "".join(f"ISIC_{number:090},nv\n" for number in range(rows))
    archive = ManifestArchive(BytesAccess(b"image_id,dx\n" + cells.encode()), str(root), RootFolder(root), LIMIT)
    tracemalloc.start()
    try:
        assert sum(member.place != "" for member in archive.members()) == 1000
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        archive.close()
