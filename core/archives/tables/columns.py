"""Which column of a table names the images, and what the other columns are called in the results."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from core.errors import ArchiveError

# In order of preference; compared by letters and digits alone, so `Image Name`, `image.name` and "'image_name'" are one.
KNOWN_COLUMNS = (
    "path",
    "image",
    "filename",
    "image_id",
    "file",
    "image_path",
    "file_path",
    "img_path",
    "image_file",
    "image_file_name",
    "image_name",
    "img",
    "img_id",
    "img_name",
    "img_file",
    "isic_id",
    "isic_name",
    "bcn_filename",
    "DDI_file",
    "derm",
    "midas_file_name",
    "dermoscopic_image",
    "dermoscopy",
    "photo",
    "picture",
    "relative_path",
    "full_path",
    "FullName",  # PowerShell: Get-ChildItem | Export-Csv
    "SourceFile",  # exiftool
)
IMAGE_SUFFIXES = ("jpg", "jpeg", "jfif", "png", "tif", "tiff", "bmp", "dib", "webp", "gif", "heic", "heif", "avif", "dcm")
IMAGE_NAME = re.compile(rf"\.(?:{'|'.join(IMAGE_SUFFIXES)})\s*\Z", re.IGNORECASE)
_WORDS = frozenset(
    ("image", "images", "img", "file", "files", "filename", "filepath", "path", "photo", "picture", "pic", "dermoscopy", "derm")
)
MAX_COLUMNS = 512
MAX_HEADER = 128  # characters of a column's name in the results
_SHOWN = 30  # columns that an error lists


def normalise(name: str) -> str:
    """A column's name for comparison: its letters and digits, without case, accents composed."""
    return "".join(character for character in unicodedata.normalize("NFKC", name).casefold() if character.isalnum())


_RANKS = {normalise(name): rank for rank, name in reversed(list(enumerate(KNOWN_COLUMNS)))}


def is_known(name: str) -> bool:
    """Whether a column of this name is taken to name images."""
    return normalise(name) in _RANKS


def find_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[int]:
    """Columns that may name the images, the likeliest first.

    First the known names, then names that hold a word such as `image` or `file`; any other only where there is none of these.
    Of the last two kinds, only those of which each value looks like the file name of an image. A table's only column is always
    one of them.
    """
    known = sorted((_RANKS[normalise(name)], at) for at, name in enumerate(header) if is_known(name))
    found = [at for _, at in known]
    others = [at for at in range(len(header)) if at not in found and holds_image_names(rows, at)]
    found += [at for at in others if _WORDS & set(_words(header[at]))]
    return found or others or ([0] if len(header) == 1 else [])


def holds_image_names(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Whether a column has values, and all of them end like the file name of an image."""
    values = [row[column] for row in rows if column < len(row) and row[column].strip()]
    return bool(values) and all(IMAGE_NAME.search(value) for value in values)


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())


def match_columns(header: Sequence[str], wanted: str) -> list[int]:
    """Columns of the name that the user gave: as it stands there, else without regard to case, spaces and quotes.

    Raises:
        ArchiveError: there is none; the message lists those that are there.
    """
    exact = [at for at, name in enumerate(header) if name.strip() == wanted.strip()]
    found = exact or [at for at, name in enumerate(header) if normalise(wanted) and normalise(name) == normalise(wanted)]
    if not found:
        raise ArchiveError(f"the table has no column {wanted!r}; its columns are {list_columns(header)}")
    return found


def no_column(header: Sequence[str]) -> ArchiveError:
    """The error for a table of which no column names images."""
    return ArchiveError(
        "expected a CSV with a column path, image, filename, image_id, isic_id or another that names images, got columns "
        f"{list_columns(header)}; if one of them does, name it with --path-column (in the API: path_column)"
    )


def list_columns(header: Sequence[str]) -> str:
    """The columns' names for a message, quoted, the first thirty."""
    shown = ", ".join(repr(name.strip()[:MAX_HEADER]) for name in header[:_SHOWN])
    more = len(header) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def name_columns(header: Sequence[str]) -> list[str]:
    """Names of all columns in the results: spaces collapsed, control characters removed, none empty, all distinct.

    A name that stands there twice (without regard to case, as many programs read Parquet that way) gets _2, _3, … behind it; a
    column without a name is called column_N, counted from 1.
    """
    cleaned = [_clean(name) or f"column_{at + 1}" for at, name in enumerate(header)]
    wanted = {name.casefold() for name in cleaned}
    taken: set[str] = set()
    names = []
    for name in cleaned:
        candidate, number = name, 1
        while candidate.casefold() in taken or (number > 1 and candidate.casefold() in wanted):
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.casefold())
        names.append(candidate)
    return names


def _clean(name: str) -> str:
    spaced = re.sub(r"\s+", " ", name).strip().removeprefix("\ufeff")
    shown = "".join(character for character in spaced if unicodedata.category(character) not in ("Cc", "Cs"))
    return shown[:MAX_HEADER].strip()
