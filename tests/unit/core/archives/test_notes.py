"""Notes: counts that add up, one sentence each, a JSON that can be stored."""

from __future__ import annotations

import json

from core.archives.notes import ArchiveNote, Note, Notes


def test_counts_add_up_and_the_first_example_stays() -> None:
    notes = Notes()
    notes.add(ArchiveNote.NAMES_NORMALISED, example="a\\b.jpg")
    notes.add(ArchiveNote.NAMES_NORMALISED, 2, "c\\d.jpg")
    notes.add(ArchiveNote.TRAILING_BYTES, 1234)
    notes.add(ArchiveNote.LEADING_BYTES, 0)
    assert list(notes) == [Note(ArchiveNote.TRAILING_BYTES, 1234), Note(ArchiveNote.NAMES_NORMALISED, 3, "a\\b.jpg")]
    assert (len(notes), notes[ArchiveNote.NAMES_NORMALISED], notes[ArchiveNote.LEADING_BYTES]) == (2, 3, 0)


def test_collectors_are_joined_and_cleared() -> None:
    first, second = Notes(), Notes()
    first.add(ArchiveNote.TRAILING_BYTES, 5)
    second.add(ArchiveNote.TRAILING_BYTES, 6)
    assert first.extend(second)[ArchiveNote.TRAILING_BYTES] == 11
    first.clear()
    assert first.to_json() == []


def test_every_code_has_one_sentence() -> None:
    for code in ArchiveNote:
        text = Note(code, 1_234_567).text
        assert text.endswith(".")
        assert "{" not in text


def test_json_survives_names_that_are_no_utf8() -> None:
    notes = Notes()
    notes.add(ArchiveNote.NAMES_GUESSED, example="bad\udcff.jpg")
    (note,) = json.loads(json.dumps(notes.to_json()).encode("utf-8"))
    assert (note["code"], note["count"]) == ("names_guessed", 1)
    assert note["text"].startswith("1 names are in no declared encoding; they were read as code page 437 (for example 'bad\\")
