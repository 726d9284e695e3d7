"""Notes: on one image from core.notes, on an archive as a whole from core.archives.notes."""

from __future__ import annotations

from core.archives.notes import ArchiveNote, Note
from core.notes import ItemNote
from docs.generate.errors import commented
from docs.generate.markdown import code, sentence, table

_COUNT = 3  # in the sentence that is shown as an example


def image_notes_section() -> str:
    """What may be in doubt about one image."""
    return table(("code", "meaning"), [(code(each), each.sentence) for each in ItemNote])


def archive_notes_section() -> str:
    """What a user should know of an archive as a whole."""
    rows = [(code(each), sentence(comment), Note(each, _COUNT).text) for each, comment in commented(ArchiveNote).items()]
    return table(("code", "what is counted", "the sentence, for a count of 3"), rows)
