"""Which class of a model a word of a table or a folder means."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Names of the same diagnosis, as HAM10000, the ISIC archive and their challenges write them. Nothing here joins two diagnoses.
_SAME = (
    ("mel", "melanoma"),
    ("nv", "nevus", "naevus", "nevi", "melanocyticnevus", "melanocyticnevi", "melanocyticnaevus"),
    ("bcc", "basalcellcarcinoma"),
    ("akiec", "actinickeratosesandintraepithelialcarcinoma", "actinickeratosesintraepithelialcarcinoma"),
    ("ak", "actinickeratosis", "actinickeratoses"),
    ("bkl", "benignkeratosis", "benignkeratosislikelesion", "benignkeratosislikelesions"),
    ("df", "dermatofibroma"),
    ("vasc", "vascularlesion", "vascularlesions"),
    ("scc", "squamouscellcarcinoma"),
)


def word_key(text: str) -> str:
    """A word for comparison: its letters and digits, without case."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


class ClassNames:
    """The classes of one model, found by what people call them."""

    def __init__(self, classes: Sequence[str]) -> None:
        """`classes` are the model's, in its order."""
        self.classes = tuple(classes)
        meant: dict[str, set[str]] = {}
        for name in classes:
            key = word_key(name)
            others = next((group for group in _SAME if key in group), (key,))
            for each in {key, *others}:
                meant.setdefault(each, set()).add(name)
        exact = {word_key(name): name for name in classes if sum(word_key(each) == word_key(name) for each in classes) == 1}
        self._found = {key: next(iter(names)) for key, names in meant.items() if len(names) == 1} | exact

    def find(self, text: str) -> str | None:
        """The class, None where it is no class of the model or may be several."""
        return text if text in self.classes else self._found.get(word_key(text))
