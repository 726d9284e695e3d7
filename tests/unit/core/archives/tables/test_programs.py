"""Tables as programs write them: which file each row means, and what its other columns say."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from core.archives.base import Member
from core.archives.beneath import RootFolder
from core.archives.manifest import ManifestArchive, looks_like_manifest
from core.archives.notes import ArchiveNote
from core.archives.sniff import sniff
from core.errors import ArchiveError, ItemErrorCode
from tests.support.archive_bytes import BytesAccess

LIMIT = 100_000


def read(root: Path, data: bytes, path_column: str = "") -> list[Member]:
    archive = ManifestArchive(BytesAccess(data), str(root), RootFolder(root), LIMIT, path_column)
    try:
        members = list(archive.members())
        for member in members:
            if member.error is None:
                assert archive.read(member) == (root / member.place).read_bytes()
        return [Member.from_line(member.to_line()) for member in members]
    finally:
        archive.close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "Läsion.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


ROWS = [("a.jpg", "Nävus, links"), ("b.jpg", 'sagt "juckt"'), ("Läsion.jpg", "größer als 6 mm")]
EXPECTED = [(name, {"befund": text}) for name, text in ROWS]


def quoted(text: str, *, always: bool = False, delimiter: str = ",") -> str:
    return '"' + text.replace('"', '""') + '"' if always or delimiter in text or '"' in text else text


def lines(delimiter: str, end: str, *, always: bool = False) -> str:
    rows = [("image", "befund"), *ROWS]
    return "".join(delimiter.join(quoted(cell, always=always, delimiter=delimiter) for cell in row) + end for row in rows)


def r_rows(header: str, delimiter: str, quote: str) -> str:
    rows = [(str(number), name, text.replace('"', quote)) for number, (name, text) in enumerate(ROWS, 1)]
    return header + "\n" + "".join(delimiter.join(f'"{cell}"' for cell in row) + "\n" for row in rows)


PROGRAMS: dict[str, bytes] = {
    "Excel, CSV UTF-8": b"\xef\xbb\xbf" + lines(",", "\r\n").encode(),
    "Excel, CSV in Western Europe": lines(";", "\r\n").encode("cp1252"),
    "Excel, CSV with sep=": b"sep=;\r\n" + lines(";", "\r\n").encode("cp1252"),
    "Excel, CSV with quoted sep=": b'"sep=;"\r\n' + lines(";", "\r\n").encode("cp1252"),
    "Excel, Unicode text": b"\xff\xfe" + lines("\t", "\r\n").encode("utf-16-le"),
    "Excel, CSV (Macintosh)": lines(",", "\r").encode("mac_roman"),
    "Numbers, Macintosh with LF": lines(",", "\n").encode("mac_roman"),
    "LibreOffice": lines(",", "\n").encode(),
    "LibreOffice, all quoted, tabs": lines("\t", "\n", always=True).encode(),
    "LibreOffice, UTF-16": lines(";", "\n").encode("utf-16"),
    "UTF-16 BE without a mark": lines(",", "\n").encode("utf-16-be"),
    "UTF-16 LE without a mark": lines(",", "\n").encode("utf-16-le"),
    "UTF-32": lines(",", "\n").encode("utf-32"),
    "a database, pipes": lines("|", "\n").encode(),
    "pandas": lines(",", "\n").encode(),
    "PowerShell 7": lines(",", "\n", always=True).encode(),
    "PowerShell 5": b"#TYPE System.Management.Automation.PSCustomObject\r\n" + lines(",", "\r\n", always=True).encode("cp1252"),
    "PowerShell 5, Out-File": ("\ufeff#TYPE Selected.System.String\r\n" + lines(",", "\r\n", always=True)).encode("utf-16-le"),
    "comments before the header": b"# exported 2026-11-25\n# by hand\n\n" + lines(",", "\n").encode(),
    "a header behind a comment sign": b"# station 4\n# " + lines("\t", "\n").encode(),
    "Ctrl-Z at the end": lines(",", "\r\n").encode("cp1252") + b"\x1a",
    "spaces behind the delimiters": lines(",", "\n", always=True).replace('","', '", "').encode(),
    "empty lines and columns at the end": lines(",", ",,\r\n").encode() + b",,,\r\n\r\n\r\n",
    "no end of line at the end": lines(",", "\n").rstrip().encode(),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_gives_the_same_rows(root: Path, program: str) -> None:
    data = PROGRAMS[program]
    assert looks_like_manifest(data)
    members = read(root, data)
    assert [(member.name, member.metadata) for member in members] == EXPECTED
    assert [member.place for member in members] == [name for name, _ in ROWS]
    assert [member.size for member in members] == [len(name.encode()) for name, _ in ROWS]


R_TABLES = {
    "write.csv": r_rows('"","image","befund"', ",", '""'),
    "write.csv2": r_rows('"";"image";"befund"', ";", '""'),
    "write.table, sep=comma": r_rows('"image","befund"', ",", '\\"'),
    "write.table, sep=tab": r_rows('"image"\t"befund"', "\t", '\\"'),
    "write.table": r_rows('"image" "befund"', " ", '\\"'),
}


@pytest.mark.parametrize("function", R_TABLES)
def test_the_row_names_of_r_are_a_column_without_a_name(root: Path, function: str) -> None:
    members = read(root, R_TABLES[function].encode())
    assert [(member.name, member.metadata) for member in members] == [
        (name, {"column_1": str(number), **metadata}) for number, (name, metadata) in enumerate(EXPECTED, 1)
    ]


def test_the_index_of_pandas_travels(root: Path) -> None:
    members = read(root, b",image,dx\n0,a.jpg,nv\n1,b.jpg,mel\n")
    assert [(member.place, member.metadata) for member in members] == [
        ("a.jpg", {"column_1": "0", "dx": "nv"}),
        ("b.jpg", {"column_1": "1", "dx": "mel"}),
    ]


def test_text_of_dos_programs_finds_its_files(root: Path) -> None:
    members = read(root, "image;befund\r\nLäsion.jpg;nävus\r\n".encode("cp850"))
    assert [(member.name, member.place) for member in members] == [("Läsion.jpg", "Läsion.jpg")]


def test_newlines_in_cells_and_in_the_header(root: Path) -> None:
    members = read(root, b'image,"age\r\n(years)",note\r\na.jpg,50,"two\r\nlines, and a ""word"""\r\nb.jpg,60,one\r\n')
    assert [(member.place, member.metadata) for member in members] == [
        ("a.jpg", {"age (years)": "50", "note": 'two\r\nlines, and a "word"'}),
        ("b.jpg", {"age (years)": "60", "note": "one"}),
    ]


def test_names_of_columns_stay_distinct(root: Path) -> None:
    members = read(root, b"image,dx,DX,dx,dx_2, dx ,,\na.jpg,1,2,3,4,5,,6\n")
    assert members[0].metadata == {"dx": "1", "DX_3": "2", "dx_4": "3", "dx_2": "4", "dx_5": "5", "column_8": "6"}


def test_short_rows_lack_cells_and_long_rows_fail(root: Path) -> None:
    members = read(root, b"image,dx,age\na.jpg,nv\nb.jpg,nv,50,,\nb.jpg,nevus, left,50\nb.jpg,,\n")
    assert [(member.error, member.metadata) for member in members] == [
        (None, {"dx": "nv"}),
        (None, {"dx": "nv", "age": "50"}),
        (ItemErrorCode.BAD_ROW, {}),
        (None, {"dx": "", "age": ""}),
    ]
    assert members[2].error_text.startswith("line 4 of the table has 4 cells, its header 3: put a cell that holds")


def test_rows_without_a_path_and_comments_are_counted(root: Path) -> None:
    data = b"image,dx\n# batch 2\na.jpg,nv\n,mel\n\n"
    archive = ManifestArchive(BytesAccess(data), str(root), RootFolder(root), LIMIT)
    assert [member.place for member in archive.members()] == ["a.jpg"]
    assert archive.skipped == 1
    assert archive.notes[ArchiveNote.ROWS_WITHOUT_PATH] == 1
    archive.close()


def test_text_that_is_no_utf8_is_noted(root: Path) -> None:
    archive = ManifestArchive(BytesAccess(PROGRAMS["Excel, CSV in Western Europe"]), str(root), RootFolder(root), LIMIT)
    list(archive.members())
    assert archive.notes[ArchiveNote.CELLS_GUESSED] == 2
    archive.close()


@pytest.mark.parametrize(
    ("column", "header"),
    [
        ("isic_id", "isic_id,age"),
        ("img_id", "patient_id,img_id"),
        ("bcn_filename", "bcn_filename,age"),
        ("DDI_file", ",DDI_ID,DDI_file"),
        ("derm", "case_num,derm"),
        ("midas_file_name", "midas_record_id,midas_file_name"),
        ("Image Name", "Image Name,Histology"),
        ("'image_name'", "'image_name','target'"),
        ("IMAGE-ID", "IMAGE-ID,x"),
        ("image.name", "image.name,x"),
        ("FullName", "FullName,Length"),
        ("ImagePath", "ImagePath,x"),
        ("lesion_picture", "patient,lesion_picture"),
    ],
)
def test_columns_by_their_names(root: Path, column: str, header: str) -> None:
    names = header.split(",")
    row = ["a.jpg" if name == column else "7" for name in names]
    data = f"{header}\n{','.join(row)}\n".encode()
    assert looks_like_manifest(data)
    assert [member.place for member in read(root, data)] == ["a.jpg"]


def test_of_several_columns_the_one_whose_files_are_there(root: Path) -> None:
    data = b"image,path,image_jpg,file\n1,/no/such/a.png,a.jpg,b\n2,/no/such/b.png,b.jpg,c\n"
    members = read(root, data)
    assert [member.place for member in members] == ["a.jpg", "b.jpg"]
    assert members[0].metadata == {"image": "1", "path": "/no/such/a.png", "file": "b"}


def test_an_unknown_column_never_stands_in_for_a_known_one(root: Path) -> None:
    """The dermoscopic pictures are missing: the clinical ones are something else."""
    members = read(root, b"case,clinic,derm\n1,a.jpg,d1.jpg\n2,b.jpg,d2.jpg\n")
    assert [(member.name, member.error) for member in members] == [
        ("d1.jpg", ItemErrorCode.NOT_FOUND),
        ("d2.jpg", ItemErrorCode.NOT_FOUND),
    ]


def test_a_number_that_is_kept_as_text(root: Path) -> None:
    (root / "00123.jpg").write_bytes(b"00123")
    members = read(root, b'image,age\n="00123",50\n')
    assert [(member.name, member.place) for member in members] == [('="00123"', "00123.jpg")]


@pytest.mark.parametrize("wanted", ["clinic", "Clinic ", "CLINIC"])
def test_the_column_that_the_user_names(root: Path, wanted: str) -> None:
    data = b"case,Clinic,derm\n1,a.jpg,b.jpg\n"
    assert [member.place for member in read(root, data)] == ["b.jpg"]
    members = read(root, data, wanted)
    assert [(member.place, member.metadata) for member in members] == [("a.jpg", {"case": "1", "derm": "b.jpg"})]


def test_a_column_that_the_user_names_may_hold_anything(root: Path) -> None:
    assert [member.place for member in read(root, b"n;c\n1;a\n2;b\n", "c")] == ["a.jpg", "b.jpg"]


def refused(root: Path, data: bytes, path_column: str = "") -> str:
    with pytest.raises(ArchiveError) as caught:
        read(root, data, path_column)
    return str(caught.value)


def test_a_missing_column_is_named_and_the_columns_are_listed(root: Path) -> None:
    assert refused(root, b"image,dx\na.jpg,nv\n", "photo") == "the table has no column 'photo'; its columns are 'image', 'dx'"
    text = refused(root, b"id,label\n1,nv\n")
    assert "got columns 'id', 'label'" in text
    assert "--path-column" in text
    wide = ",".join(f"c{number}" for number in range(100))
    assert refused(root, f"{wide}\n".encode()).endswith("(in the API: path_column)")
    assert "and 70 more" in refused(root, f"{wide}\n".encode())


def test_limits_are_named(root: Path) -> None:
    text = refused(root, b"image,report\nb.jpg,x\na.jpg," + b"x" * 40_000 + b"\n")
    assert "line 3 of the table has a cell of 40,000 characters in column 'report', the limit is 32,767" in text
    cells = ",".join(["y" * 30_000] * 3)
    assert "bytes in all, the limit is 65,536" in refused(root, f"image,a,b,c\na.jpg,{cells}\n".encode())
    assert "at most 512 columns, got 513" in refused(root, f"image{',c' * 512}\na.jpg{',1' * 512}\n".encode())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"image,dx\na.jpg,n\0v\n", "NUL bytes"),
        (b"\0" * 100, "NUL bytes"),
        ("image,dx\na.jpg,nv\n".encode("utf-16") + b"\x00", "no valid utf-16-le"),
        (b'image,dx\na.jpg,"nv\nb.jpg,mel\n', "damaged CSV near line"),
        (b'image,dx\na.jpg,"nv" x\n', "damaged CSV near line 2"),
    ],
    ids=["NUL", "zeros", "cut UTF-16", "a quote that never closes", "text behind a quote"],
)
def test_damaged_tables_are_refused_and_lose_no_row(root: Path, data: bytes, reason: str) -> None:
    assert reason in refused(root, data)


def test_lists_and_tables_without_a_header(root: Path) -> None:
    assert [member.place for member in read(root, b"a.jpg\nb.jpg\n")] == ["a.jpg", "b.jpg"]
    members = read(root, b"a.jpg;nv\nb.jpg;mel\n")
    assert [(member.place, member.metadata) for member in members] == [
        ("a.jpg", {"column_2": "nv"}),
        ("b.jpg", {"column_2": "mel"}),
    ]


def test_a_list_keeps_commas_in_names(root: Path) -> None:
    (root / "lesion, left.jpg").write_bytes(b"left")
    for text in ("lesion, left.jpg\nb.jpg\n", "b.jpg\nlesion, left.jpg\n", "image\nlesion, left.jpg\nb.jpg\n"):
        members = read(root, text.encode())
        assert sorted(member.place for member in members) == ["b.jpg", "lesion, left.jpg"]


def test_a_header_longer_than_a_block(root: Path) -> None:
    names = [f"a rather long name of a column, number {number}" for number in range(400)]
    data = (",".join(f'"{name}"' for name in names) + ",image\n" + "1," * 400 + "a.jpg\n").encode()
    assert len(data) > 16_384
    assert looks_like_manifest(data[:262_144])
    assert read(root, data)[0].metadata == dict.fromkeys(names, "1")


@pytest.mark.parametrize("make", [str.encode, lambda text: text.encode("utf-16")], ids=["utf-8", "utf-16"])
def test_an_index_line_of_the_previous_release_is_read(root: Path, make: Callable[[str], bytes]) -> None:
    archive = ManifestArchive(BytesAccess(make("image\na\n")), str(root), RootFolder(root), LIMIT)
    member = Member.from_line(b'["a",0,5,5,0,null,null,""]\n')
    assert (member.place, member.metadata) == ("", {})
    assert archive.read(member) == b"a.jpg"
    archive.close()


@pytest.mark.parametrize("first", ["[Content_Types].xml", "_rels/.rels", "docProps/app.xml", "xl/workbook.xml", "mimetype"])
def test_a_workbook_is_named_and_not_taken_for_an_archive(first: str) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as workbook:
        workbook.writestr(first, "application/vnd.oasis.opendocument.spreadsheet")
        workbook.writestr("content.xml", "<x/>")
    with pytest.raises(ArchiveError, match=r"which DermQ does not read: save its table as CSV \(UTF-8\)"):
        sniff(BytesAccess(stream.getvalue()), "study.xlsx")


def test_a_table_with_nul_bytes_is_named_when_its_kind_is_looked_for() -> None:
    for data in (b"image,dx\na.jpg,\0\n", bytes(4096)):
        with pytest.raises(
            ArchiveError, match=r"list\.csv: expected a table as text, got a file with NUL bytes: save it as CSV"
        ):
            sniff(BytesAccess(data), "list.csv")
