"""ZIP files that contradict themselves, share bytes, or stand among other bytes; and odd but honest ones of real writers."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
import unicodedata
import zlib
from collections.abc import Callable

import pytest

from core.archives.base import Member
from core.archives.notes import ArchiveNote
from core.archives.zip import ZipArchive
from core.errors import ArchiveError, ItemError, ItemErrorCode
from tests.support.archive_bytes import BytesAccess, RawEntry, end_records, honest_zip, outcome, outcomes, raw_zip

LIMIT = 100_000_000
PHOTO = random.Random(5).randbytes(3000)


def archive_of(data: bytes) -> ZipArchive:
    return ZipArchive(BytesAccess(data), LIMIT)


def text_of_failure(archive: ZipArchive, member: Member) -> str:
    with pytest.raises(ItemError) as caught:
        archive.read(member)
    assert caught.value.code is ItemErrorCode.BAD_CHECKSUM
    return str(caught.value)


def patched(data: bytes, *changes: tuple[int, str, int]) -> bytes:
    """Numbers of the first local header replaced: (offset, struct format, value)."""
    result = bytearray(data)
    for offset, form, value in changes:
        struct.pack_into(form, result, offset, value)
    return bytes(result)


# Contradictions


def test_names_exchanged_in_the_directory_give_no_row_another_picture() -> None:
    data = bytearray(honest_zip({"patient_A.jpg": b"A's picture", "patient_B.jpg": b"B's picture"}))
    directory = data.index(b"PK\1\2")
    first, second = data.index(b"patient_A", directory), data.index(b"patient_B", directory)
    data[first : first + 9], data[second : second + 9] = b"patient_B", b"patient_A"
    archive = archive_of(bytes(data))
    members = list(archive.members())
    assert [member.name for member in members] == ["patient_B.jpg", "patient_A.jpg"]
    assert "the archive's directory says 'patient_B.jpg', the member itself 'patient_A.jpg'" in text_of_failure(
        archive, members[0]
    )
    assert "pack it again" in text_of_failure(archive, members[1])


@pytest.mark.parametrize(
    ("offset", "form", "value", "what"),
    [
        (8, "<H", 0, "compression method"),
        (6, "<H", 1, "encryption"),
        (6, "<H", 0x2000, "encryption"),
        (14, "<L", 1, "CRC-32"),
        (14, "<L", 0, "CRC-32"),
        (18, "<L", 7, "packed size"),
        (22, "<L", 7, "size"),
        (22, "<L", 0, "size"),
    ],
)
def test_a_local_header_that_contradicts_the_directory_fails_its_member(offset: int, form: str, value: int, what: str) -> None:
    archive = archive_of(patched(honest_zip({"a.jpg": PHOTO, "b.jpg": b"b"}), (offset, form, value)))
    first, second = archive.members()
    assert what in text_of_failure(archive, first)
    assert archive.read(second) == b"b"


def test_a_data_descriptor_leaves_nothing_but_zeros_open() -> None:
    honest = honest_zip({"a.jpg": PHOTO})
    streamed = patched(honest, (6, "<H", 8), (14, "<L", 0), (18, "<L", 0), (22, "<L", 0))
    assert outcomes(archive_of(streamed)) == {"a.jpg": PHOTO}
    wrong = patched(streamed, (14, "<L", 99))
    assert outcomes(archive_of(wrong)) == {"a.jpg": ItemErrorCode.BAD_CHECKSUM}


ZIP64_LOCAL = struct.pack("<HHQQ", 1, 16, len(PHOTO), len(PHOTO))
FULL = 0xFFFFFFFF


@pytest.mark.parametrize(
    "entry",
    [
        RawEntry(b"a.jpg", PHOTO, method=0, local_extra=ZIP64_LOCAL),
        RawEntry(b"a.jpg", PHOTO, method=0, extra=b"UT\x05\0\3abcd", local_extra=b"UT\x09\0\3abcdefgh"),
        RawEntry(b"a.jpg", PHOTO, method=0, flags=0x800),
        RawEntry("ü.jpg".encode(), PHOTO, method=0, flags=0x800),
        RawEntry("ü.jpg".encode("cp437"), PHOTO, method=0),
        RawEntry(b"dir\\a.jpg", PHOTO, method=0, host=0),
        RawEntry(b"a.jpg", PHOTO, method=8, flags=6),
    ],
    ids=str,
)
def test_honest_members_of_many_writers_are_read(entry: RawEntry) -> None:
    assert list(outcomes(archive_of(raw_zip([entry]))).values()) == [PHOTO]


def test_local_zip64_fields_count() -> None:
    data = raw_zip([RawEntry(b"a.jpg", PHOTO, method=0, local_extra=ZIP64_LOCAL)])
    assert outcomes(archive_of(patched(data, (18, "<L", FULL), (22, "<L", FULL)))) == {"a.jpg": PHOTO}
    lying = raw_zip([RawEntry(b"a.jpg", PHOTO, method=0, local_extra=struct.pack("<HHQQ", 1, 16, 9, len(PHOTO)))])
    lying = patched(lying, (18, "<L", FULL), (22, "<L", FULL))
    assert outcomes(archive_of(lying)) == {"a.jpg": ItemErrorCode.BAD_CHECKSUM}


def test_writers_that_leave_the_local_header_empty_are_believed() -> None:
    data = patched(honest_zip({"a.jpg": PHOTO}), (14, "<L", 0), (18, "<L", 0), (22, "<L", 0))
    assert outcomes(archive_of(data)) == {"a.jpg": PHOTO}


def test_a_directory_in_utf8_over_local_names_in_a_code_page() -> None:
    entry = RawEntry("ü.jpg".encode("cp437"), PHOTO, method=0)
    data = raw_zip([entry])
    start = data.index(b"PK\1\2")
    header = bytearray(raw_zip([RawEntry("ü.jpg".encode(), PHOTO, method=0, flags=0x800)]).partition(b"PK\1\2")[2])
    directory = b"PK\1\2" + bytes(header[: header.index(b"PK\5\6")])
    assert outcomes(archive_of(data[:start] + directory + end_records(1, len(directory), start))) == {"ü.jpg": PHOTO}


@pytest.mark.parametrize("directory_flags", [0, 0x800])
def test_one_flag_of_utf8_over_bytes_that_are_none_is_a_contradiction(directory_flags: int) -> None:
    data = bytearray(raw_zip([RawEntry("ü.jpg".encode("cp437"), PHOTO, flags=directory_flags)]))
    struct.pack_into("<H", data, 6, directory_flags ^ 0x800)
    assert list(outcomes(archive_of(bytes(data))).values()) == [ItemErrorCode.BAD_CHECKSUM]


@pytest.mark.parametrize("directory_flags", [0, 0x800])
def test_one_flag_of_utf8_over_utf8_is_none(directory_flags: int) -> None:
    data = bytearray(raw_zip([RawEntry("ü.jpg".encode(), PHOTO, flags=directory_flags)]))
    struct.pack_into("<H", data, 6, directory_flags ^ 0x800)
    assert outcomes(archive_of(bytes(data))) == {"ü.jpg": PHOTO}


# Names


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["Läsion Müller 1.jpg", "病変_001.jpg", "Überblick/ß.jpg"])
def test_valid_utf8_without_its_flag_is_utf8(form: str, name: str) -> None:
    name = unicodedata.normalize(form, name)  # type: ignore[arg-type]
    archive = archive_of(raw_zip([RawEntry(name.encode(), PHOTO)]))
    assert outcomes(archive) == {name: PHOTO}
    assert len(archive.notes) == 0


def test_names_in_no_declared_encoding_are_noted() -> None:
    archive = archive_of(raw_zip([RawEntry("Läsion.jpg".encode("cp437"), PHOTO), RawEntry(b"b.jpg", PHOTO)]))
    assert outcomes(archive) == {"Läsion.jpg": PHOTO, "b.jpg": PHOTO}
    assert [(note.code, note.count, note.example) for note in archive.notes] == [(ArchiveNote.NAMES_GUESSED, 1, "Läsion.jpg")]


def test_unicode_path_fields_count_where_they_fit() -> None:
    raw, meant = b"L?sion.jpg", "Läsion.jpg".encode()

    def field(crc32: int, name: bytes = meant) -> bytes:
        return struct.pack("<HHBL", 0x7075, 5 + len(name), 1, crc32) + name

    right = zlib.crc32(raw)
    entries = [RawEntry(raw, PHOTO, extra=extra) for extra in (field(right), field(right ^ 1), field(right, b"\xff"))]
    members = list((archive := archive_of(raw_zip(entries))).members())
    assert [member.name for member in members] == ["Läsion.jpg", "L?sion.jpg", "L?sion.jpg"]
    assert [archive.read(Member.from_line(member.to_line())) for member in members] == [PHOTO] * 3


def test_backslashes_of_windows_writers_become_slashes_and_are_noted() -> None:
    entries = [
        RawEntry(b"images\\sub\\a.jpg", PHOTO, host=0),
        RawEntry(b"unix\\name.jpg", PHOTO, host=3),
        RawEntry(b"mixed/win\\dows.jpg", PHOTO, host=0),
    ]
    archive = archive_of(raw_zip(entries))
    assert outcomes(archive) == dict.fromkeys(["images/sub/a.jpg", "unix\\name.jpg", "mixed/win\\dows.jpg"], PHOTO)
    assert [(note.code, note.count) for note in archive.notes] == [(ArchiveNote.NAMES_NORMALISED, 1)]


def test_litter_is_noted_and_folders_are_not() -> None:
    names = (b"a.jpg", b"sub/", b"__MACOSX/", b"__MACOSX/._a.jpg", b".DS_Store")
    archive = archive_of(raw_zip([RawEntry(name, b"" if name.endswith(b"/") else PHOTO) for name in names]))
    assert outcomes(archive) == {"a.jpg": PHOTO}
    assert (archive.skipped, archive.notes[ArchiveNote.ENTRIES_SKIPPED]) == (4, 2)


def test_a_folder_with_bytes_is_a_failed_row() -> None:
    assert outcomes(archive_of(raw_zip([RawEntry(b"sub/", PHOTO)]))) == {"sub/": ItemErrorCode.UNSAFE_PATH}


# Overlaps


def quoted(payload: bytes, count: int) -> bytes:
    """Fifield's construction: each stored member's data begin with the next member's local header."""
    kernel = raw_zip([RawEntry(b"%04d.jpg" % count, payload)])
    body, directory = kernel[: kernel.index(b"PK\1\2")], [kernel[kernel.index(b"PK\1\2") : -22]]
    sizes = [0]
    for number in reversed(range(count)):
        outer = raw_zip([RawEntry(b"%04d.jpg" % number, body, method=0)])
        start = outer.index(b"PK\1\2", 30 + 8 + len(body))
        header, body = outer[start:-22], outer[:start]
        sizes = [0, *(size + len(body) - len(body[38:]) for size in sizes)]
        directory.insert(0, header)
    headers = [header[:42] + struct.pack("<L", size) + header[46:] for header, size in zip(directory, sizes, strict=True)]
    return body + b"".join(headers) + end_records(len(headers), len(b"".join(headers)), len(body))


def test_entries_that_share_their_bytes_are_refused_but_for_the_first() -> None:
    kernel = raw_zip([RawEntry(b"k", bytes(1_000_000))])
    start = kernel.index(b"PK\1\2")
    data = kernel[:start] + kernel[start:-22] * 500 + end_records(500, len(kernel[start:-22]) * 500, start)
    for archive in (archive_of(data), archive_of(quoted(PHOTO, 20)), archive_of(reversed_directory(quoted(PHOTO, 20)))):
        members = list(archive.members())
        assert sum(member.error is None for member in members) <= 1
        assert {member.error for member in members[1:]} == {ItemErrorCode.BAD_CHECKSUM}
        assert "overlap" in members[1].error_text


def reversed_directory(data: bytes) -> bytes:
    """The same archive with its directory in reverse order."""
    start = data.index(b"PK\1\2")
    headers = [b"PK\1\2" + part for part in data[start:-22].split(b"PK\1\2")[1:]]
    return data[:start] + b"".join(reversed(headers)) + data[-22:]


def test_a_directory_in_another_order_than_its_members_is_no_overlap() -> None:
    files = {f"{number}.jpg": bytes([number]) * 500 for number in range(50)}
    archive = archive_of(reversed_directory(honest_zip(files)))
    assert outcomes(archive) == files
    assert len(archive.notes) == 0


def test_one_stray_overlap_fails_those_entries_only() -> None:
    entries = [RawEntry(f"{number}.jpg".encode(), bytes([number + 1]) * 500, method=0) for number in range(10)]
    entries[6].offset = 40
    archive = archive_of(raw_zip(entries))
    assert [member.name for member in archive.members() if member.error] == ["6.jpg"]
    assert outcomes(archive)["0.jpg"] == bytes([1]) * 500


# Among other bytes


def test_bytes_before_and_behind_are_read_past_and_noted() -> None:
    files = {"a.jpg": PHOTO, "b.jpg": b"b"}
    for before, behind in ((0, 0), (1000, 0), (0, 300), (70_000, 200_000)):
        archive = archive_of(b"#" * before + honest_zip(files) + b"\n" * behind)
        assert outcomes(archive) == files
        assert (archive.notes[ArchiveNote.LEADING_BYTES], archive.notes[ArchiveNote.TRAILING_BYTES]) == (before, behind)


def test_a_self_extractor_with_adjusted_offsets_is_noted() -> None:
    stub = b"MZ" + bytes(998)
    entry = RawEntry(b"a.jpg", PHOTO, offset=1000)
    data = bytearray(stub + raw_zip([entry]))
    data[-6:-2] = struct.pack("<L", data.index(b"PK\1\2"))
    archive = archive_of(bytes(data))
    assert outcomes(archive) == {"a.jpg": PHOTO}
    assert archive.notes[ArchiveNote.LEADING_BYTES] == 1000


@pytest.mark.parametrize("cut", [lambda data: data, lambda data: data[:-30]], ids=["whole", "cut"])
def test_two_archives_in_one_file_are_refused(cut: Callable[[bytes], bytes]) -> None:
    data = cut(honest_zip({"a.jpg": PHOTO})) + honest_zip({"b.jpg": PHOTO})
    with pytest.raises(ArchiveError, match=r"begin like another ZIP: two archives in one file.*send each archive by itself"):
        list(archive_of(data).members())


def test_an_archive_cut_within_a_nested_archive_is_not_taken_for_that_one() -> None:
    nested = honest_zip({"of another patient.jpg": PHOTO})
    data = raw_zip([RawEntry(b"a.jpg", PHOTO), RawEntry(b"nested.zip", nested, method=0)])
    with pytest.raises(ArchiveError, match="two archives in one file, or one that is cut off"):
        list(archive_of(data[: data.index(nested) + len(nested)]).members())


def test_an_end_record_that_names_no_members_is_no_empty_archive() -> None:
    data = honest_zip({"a.jpg": PHOTO})
    with pytest.raises(ArchiveError, match="names no members at all"):
        list(archive_of(data[:-22] + end_records(0, 0, 0)).members())


def test_a_wrong_offset_of_the_directory_alone_is_no_prefix() -> None:
    data = bytearray(honest_zip({"a.jpg": PHOTO, "b.jpg": b"b"}))
    data[-6:-2] = struct.pack("<L", data.index(b"PK\1\2") - 20)
    assert outcomes(archive_of(bytes(data))) == {"a.jpg": PHOTO, "b.jpg": b"b"}


def test_an_encrypted_directory_is_named() -> None:
    """As PKZIP writes it: version 2 of the ZIP64 end record (APPNOTE 7.3.4), members without names or sizes."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 0x4C, 64, 62, 0, 0, 0, 2, 422, 0) + bytes(32)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 422, 1)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0xFFFF, 422, 0, 0)
    with pytest.raises(ArchiveError, match="encrypted, its list of members included") as caught:
        list(archive_of(bytes(422) + record + locator + end).members())
    assert caught.value.code == "encrypted_archive"


# Methods


@pytest.mark.parametrize(("method", "name"), [(1, "Shrink"), (6, "Implode"), (97, "WavPack"), (98, "PPMd"), (77, "77")])
def test_methods_that_cannot_be_unpacked_are_named(method: int, name: str) -> None:
    (member,) = archive_of(raw_zip([RawEntry(b"a.jpg", PHOTO, method=method)])).members()
    assert member.error is ItemErrorCode.UNSUPPORTED_FORMAT
    assert name in member.error_text
    assert "Deflate" in member.error_text


def deflate64(raw: bytes) -> bytes:
    """Packed in a new process: inflate64's Deflater, which DermQ does not use, has crashed in one that had run many tests."""
    code = (
        "import sys, inflate64; packer = inflate64.Deflater(); "
        "sys.stdout.buffer.write(packer.deflate(sys.stdin.buffer.read()) + packer.flush())"
    )
    return subprocess.run([sys.executable, "-c", code], input=raw, capture_output=True, check=True).stdout


def test_deflate64_and_xz_are_read() -> None:
    import lzma

    raw = PHOTO * 50
    for method, data in ((9, deflate64(raw)), (95, lzma.compress(raw))):
        entry = RawEntry(b"a.jpg", data, method=method, size=len(raw), crc32=zlib.crc32(raw), packed_size=len(data))
        assert outcomes(archive_of(raw_zip([entry]))) == {"a.jpg": raw}
        short = RawEntry(b"a.jpg", data, method=method, size=1000, crc32=zlib.crc32(raw), packed_size=len(data))
        assert outcomes(archive_of(raw_zip([short]))) == {"a.jpg": ItemErrorCode.BAD_CHECKSUM}
        archive = archive_of(raw_zip([RawEntry(b"a.jpg", data[:-90], method=method, size=len(raw))]))
        (member,) = archive.members()
        assert outcome(archive, member) in (ItemErrorCode.TRUNCATED, ItemErrorCode.BAD_CHECKSUM)
