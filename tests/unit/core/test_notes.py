"""The words that stand beside a row: stable, each with a sentence."""

from __future__ import annotations

from core.notes import ItemNote


def test_the_codes_are_stable() -> None:
    assert [str(note) for note in ItemNote] == [
        "low_resolution",
        "greyscale",
        "over_exposed",
        "under_exposed",
        "blurred",
        "lost_profile",
        "extra_pages",
        "unlike_training",
    ]


def test_each_has_a_sentence_of_its_own() -> None:
    sentences = [note.sentence for note in ItemNote]
    assert all(sentence.endswith(".") for sentence in sentences)
    assert len(set(sentences)) == len(sentences)
