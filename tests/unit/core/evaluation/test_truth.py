"""The true class of each item, from a table, a column or folders; what cannot be used is counted."""

from __future__ import annotations

import pytest

from core.errors import ArchiveError, InvalidRequestError
from core.evaluation.classnames import ClassNames
from core.evaluation.truth import Described, ItemNames, match_archive, match_table
from core.storage.memory import MemoryAccess

CLASSES = ("akiec", "bcc", "mel", "nv")
NAMES = ItemNames([(0, "a/ISIC_1.jpg"), (1, "a/ISIC_2.jpg"), (2, "b/ISIC_2.jpg"), (3, "ISIC_3.JPG"), (4, "ISIC_3.JPG")])


def test_words_mean_classes() -> None:
    names = ClassNames(CLASSES)
    assert [names.find(word) for word in ("mel", "MEL", "Melanoma", "Basal cell carcinoma", "nevus", "scc", "")] == [
        *("mel", "mel", "mel", "bcc", "nv"),
        None,
        None,
    ]
    assert ClassNames(("A b", "a-B", "c")).find("ab") is None  # may be either
    assert ClassNames(("A b", "a-B", "c")).find("a-B") == "a-B"


def test_a_table_is_matched_and_its_problems_are_counted() -> None:
    rows = [
        "image_id,dx",
        "ISIC_1,mel",
        "ISIC_1,Melanoma",  # the same again
        "ISIC_2,nv",  # may be either of two
        "b/ISIC_2.jpg,scc",  # no class of the model
        "isic_3.jpeg,bcc",  # twice in the archive, under one name
        "ISIC_9,nv",
        "ISIC_10,nv",
        "ISIC_1.png,nv",  # another format: not this file
        "a/ISIC_2,nv",
        "a/ISIC_2,mel",
        "ISIC_4,",
    ]
    found = match_table(MemoryAccess("\n".join(rows).encode()), "t.csv", NAMES, CLASSES)
    assert found.labels == {0: "mel", 3: "bcc", 4: "bcc"}
    assert found.summary() == {
        "source": "t.csv, column 'dx'",
        "rows": 10,
        "images": 3,
        "classes": {"bcc": 2, "mel": 1},
        "read_as": {"Melanoma": "mel"},
        "unmatched": {"count": 3, "examples": ["ISIC_9", "ISIC_10", "ISIC_1.png"]},
        "ambiguous": {"count": 1, "examples": ["ISIC_2"]},
        "unknown_classes": {"scc": 1},
        "repeated": {"count": 1, "examples": ["ISIC_1"]},
        "contradicting": {"count": 1, "examples": ["a/ISIC_2: nv, mel"]},
    }


def test_columns_of_0_and_1_are_read_as_the_challenges_have_them() -> None:
    table = b"image,MEL,NV,BCC\nISIC_1,1.0,0.0,0.0\na/ISIC_2,0,1,0\nb/ISIC_2,1,1,0\nISIC_3,0,0,0\n"
    found = match_table(MemoryAccess(table), "t.csv", NAMES, CLASSES)
    assert found.labels == {0: "mel", 1: "nv"}
    assert found.source == "t.csv, columns MEL, NV, BCC"


def test_a_column_can_be_named() -> None:
    table = b"image,dx,second reader\nISIC_1,mel,nv\n"
    assert match_table(MemoryAccess(table), "t.csv", NAMES, CLASSES, "Second Reader").labels == {0: "nv"}
    with pytest.raises(ArchiveError, match="has no column 'third'; its columns are 'image', 'dx', 'second reader'"):
        match_table(MemoryAccess(table), "t.csv", NAMES, CLASSES, "third")
    with pytest.raises(ArchiveError, match="expected a column dx, label"):
        match_table(MemoryAccess(b"image,colour\nISIC_1,red\n"), "t.csv", NAMES, CLASSES)


def test_a_truth_about_nothing_is_refused_with_its_counts() -> None:
    table = b"image,dx\nISIC_7,mel\nISIC_8,mel\nISIC_1,scc\n"
    with pytest.raises(InvalidRequestError) as refused:
        match_table(MemoryAccess(table), "t.csv", NAMES, CLASSES)
    assert "2 names that match no picture (ISIC_7, ISIC_8)" in str(refused.value)
    assert "classes that the model does not have: scc (1); it has akiec, bcc, mel, nv" in str(refused.value)


def described(*names: str) -> list[Described]:
    return [Described(at, name, {}) for at, name in enumerate(names)]


def test_folders_of_one_level_are_classes() -> None:
    found = match_archive(described("set/mel/left/1.jpg", "set/nv/right/2.jpg", "set/scc/x/3.jpg", "4.jpg"), (), CLASSES)
    assert found.labels == {0: "mel", 1: "nv"}
    assert found.unknown == {"scc": 1}
    assert found.summary()["unmatched"] == {"count": 1, "examples": ["4.jpg"]}
    with pytest.raises(InvalidRequestError, match="classes that the model does not have: left"):
        match_archive(described("left/1.jpg"), (), CLASSES)


def test_a_column_of_the_archive_comes_before_its_folders() -> None:
    items = [Described(0, "mel/1.jpg", {"dx": "nevus"}), Described(1, "mel/2.jpg", {"dx": ""}), Described(2, "mel/3.jpg", {})]
    found = match_archive(items, ("age", "dx"), CLASSES)
    assert (found.labels, found.rows, found.source) == ({0: "nv"}, 1, "the archive's table, column 'dx'")
