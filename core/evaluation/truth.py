"""From a table or an archive to the true class of each item; what could not be used is counted, and some of it named.

An image that is named twice with different classes has no truth: which of the two is right is not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.archives.tables.columns import list_columns, match_columns, normalise
from core.archives.tables.encoding import decode_cell
from core.archives.tables.matching import path_key, path_keys, suffixes_agree
from core.archives.tables.reading import Table
from core.errors import ArchiveError, InvalidRequestError
from core.evaluation.classnames import ClassNames
from core.storage.base import RandomAccess

# In order of preference, compared by letters and digits alone.
TRUTH_COLUMNS = ("dx", "label", "diagnosis", "truth", "ground_truth", "class", "target", "diagnosis_3")
EXAMPLES = 5
_SHOWN = 200  # characters of an example
_MOST_CLASSES = 50  # unknown ones that are named


@dataclass(slots=True)
class Problem:
    """How often something was met, and the first places."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Once more."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(example[:_SHOWN])

    def to_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"count": self.count, "examples": self.examples}


class Matched:
    """The true classes of items, as they are collected."""

    def __init__(self, source: str, classes: Sequence[str]) -> None:
        """Nothing yet; `source` says in words where the truth comes from."""
        self.source = source
        self.rows = 0  # that have a class
        self.unmatched = Problem()  # names that match no item
        self.ambiguous = Problem()  # names that match several items
        self.repeated = Problem()  # items that are named more than once, with the same class: used once
        self.contradicting = Problem()  # items that are named with different classes: left out
        self._names = ClassNames(classes)
        self._words: dict[int, str] = {}  # item → class, or the unknown word
        self._read_as: dict[str, str] = {}
        self._left_out: set[int] = set()
        self._seen: set[int] = set()

    def add(self, item: int, name: str, word: str) -> None:
        """An item's class as it is written; the model's classes are found by `ClassNames`."""
        found = self._names.find(word)
        if found is not None and found != word:
            self._read_as[word] = found
        meant = word if found is None else found
        known = self._words.setdefault(item, meant)
        if item in self._left_out:
            return
        if known != meant:
            self._left_out.add(item)
            self.contradicting.add(f"{name}: {known}, {meant}")
        elif item in self._seen:
            self.repeated.add(name)
        self._seen.add(item)

    @property
    def labels(self) -> dict[int, str]:
        """Item → class of the model."""
        classes = set(self._names.classes)
        return {item: word for item, word in self._words.items() if word in classes and item not in self._left_out}

    @property
    def unknown(self) -> dict[str, int]:
        """Classes that the model does not have → items."""
        classes = set(self._names.classes)
        words = (word for item, word in self._words.items() if word not in classes and item not in self._left_out)
        return dict(Counter(words).most_common(_MOST_CLASSES))

    def summary(self) -> dict[str, Any]:
        """What was found and what could not be used, ready for JSON."""
        labels = self.labels
        return {
            "source": self.source,
            "rows": self.rows,
            "images": len(labels),
            "classes": dict(Counter(labels.values()).most_common()),
            "read_as": self._read_as,
            "unmatched": self.unmatched.to_json(),
            "ambiguous": self.ambiguous.to_json(),
            "unknown_classes": self.unknown,
            "repeated": self.repeated.to_json(),
            "contradicting": self.contradicting.to_json(),
        }

    def require_some(self) -> None:
        """Refuse a truth that says nothing of any item.

        Raises:
            InvalidRequestError: with the counts of what was met instead.
        """
        if self.labels:
            return
        met = {
            "names that match no picture": self.unmatched,
            "names that match several pictures": self.ambiguous,
            "pictures with different classes": self.contradicting,
        }
        parts = [f"{problem.count:,} {text} ({', '.join(problem.examples)})" for text, problem in met.items() if problem.count]
        if self.unknown:
            words = ", ".join(f"{word[:_SHOWN]} ({count:,})" for word, count in self.unknown.items())
            parts.append(f"classes that the model does not have: {words}; it has {', '.join(self._names.classes)}")
        raise InvalidRequestError(
            f"the truth from {self.source} names no picture of this job with a class of its model: "
            f"{'; '.join(parts) or 'no row has a class'}"
        )


class ItemNames:
    """Finds the items that a cell of a table means."""

    def __init__(self, names: Iterable[tuple[int, str]]) -> None:
        """`names` are those of the job's items, exactly as in the archive."""
        self._names = dict(names)
        self._exact: dict[str, list[int]] = {}
        self._by_stem: dict[str, list[int]] = {}
        for item, name in self._names.items():
            self._exact.setdefault(name, []).append(item)
            self._by_stem.setdefault(_stem(path_key(name)), []).append(item)

    def find(self, cell: str) -> list[int]:
        """Items of exactly this name; else those that differ in case, suffix or the folders before it alone."""
        if cell in self._exact:
            return self._exact[cell]
        path = cell.strip().replace("\\", "/").strip("/")
        key, ends = path_key(path), set(path_keys(path))
        return [item for item in self._by_stem.get(_stem(key), ()) if self._fits(self._names[item], path, key, ends)]

    def _fits(self, name: str, path: str, key: str, ends: set[str]) -> bool:
        return suffixes_agree(path, name) and (key in path_keys(name) or path_key(name) in ends)

    def are_one(self, items: Sequence[int]) -> bool:
        """Whether all have the same name: one picture that is several times in the archive."""
        return len({self._names[item] for item in items}) == 1


def _stem(key: str) -> str:
    return key.rpartition("/")[2]


def match_table(access: RandomAccess, filename: str, names: ItemNames, classes: Sequence[str], column: str = "") -> Matched:
    """The truth of a CSV: one row for each image, or a column of 0 and 1 for each class as the ISIC challenges have it.

    Args:
        access: the table.
        filename: for messages.
        names: of the job's items.
        classes: of the job's model.
        column: the column that has the class; empty to find it.

    Raises:
        ArchiveError: no table, or no column that names images or classes.
        InvalidRequestError: no item has a class by it.
    """
    table = Table(access)
    words, what = _class_cells(table, classes, column)
    matched = Matched(f"{filename}, {what}", classes)
    for row in table.rows():
        cell, word = decode_cell(row.cell(table.columns[0]), table.fallback), words(row.cells)
        if not cell.strip() or not word:
            continue
        matched.rows += 1
        items = names.find(cell)
        if not items:
            matched.unmatched.add(cell)
        elif len(items) > 1 and not names.are_one(items):
            matched.ambiguous.add(cell)
        else:
            for item in items:
                matched.add(item, cell, word)
    matched.require_some()
    return matched


def _class_cells(table: Table, classes: Sequence[str], column: str) -> tuple[Any, str]:
    """(what gives the class of a row's cells, what that is called)."""
    at = match_columns(table.header, column)[0] if column else find_truth_column(table.header, skip=table.columns[:1])
    if at is not None:
        return (lambda cells: decode_cell(cells[at], table.fallback).strip() if at < len(cells) else ""), (
            f"column {table.header[at].strip()!r}"
        )
    found = ClassNames(classes)
    hot = {at: name for at, text in enumerate(table.header) if (name := found.find(text.strip())) and at != table.columns[0]}
    if len(hot) > 1:
        return (lambda cells: _hot_class(cells, hot)), f"columns {', '.join(table.header[at].strip() for at in hot)}"
    raise ArchiveError(
        f"expected a column {', '.join(TRUTH_COLUMNS[:4])} or one of 0 and 1 for each class, got columns "
        f"{list_columns(table.header)}; name the column of the classes with `column` (dermq evaluate-job: --column)"
    )


def _hot_class(cells: Sequence[str], hot: Mapping[int, str]) -> str:
    """The class whose cell is 1 where all others are 0; empty for any other row."""
    ones = [name for at, name in hot.items() if at < len(cells) and _is_one(cells[at])]
    return ones[0] if len(ones) == 1 else ""


def _is_one(cell: str) -> bool:
    try:
        return float(cell) == 1.0
    except ValueError:
        return False


def find_truth_column(columns: Sequence[str], skip: Sequence[int] = ()) -> int | None:
    """Which of these columns has the classes, by its name; None where none has."""
    ranks = {normalise(name): rank for rank, name in reversed(list(enumerate(TRUTH_COLUMNS)))}
    found = [(ranks[key], at) for at, name in enumerate(columns) if (key := normalise(name)) in ranks and at not in skip]
    return min(found)[1] if found else None


@dataclass(frozen=True, slots=True)
class Described:
    """An item and what its archive says of it."""

    item: int
    name: str
    metadata: Mapping[str, str]


def match_archive(items: Sequence[Described], columns: Sequence[str], classes: Sequence[str], column: str = "") -> Matched:
    """The truth that the archive itself has: in a column of its table, else in its folders, one for each class.

    Args:
        items: all items of the job.
        columns: of the table that the job's images come from; none for other archives.
        classes: of the job's model.
        column: the column that has the class; empty to find it.

    Raises:
        ArchiveError: the table has no such column.
        InvalidRequestError: no item has a class by it.
    """
    at = match_columns(columns, column)[0] if column else find_truth_column(columns)
    matched = _by_folder(items, classes) if at is None else _by_column(items, columns[at], classes)
    matched.require_some()
    return matched


def _by_column(items: Sequence[Described], column: str, classes: Sequence[str]) -> Matched:
    matched = Matched(f"the archive's table, column {column!r}", classes)
    for each in items:
        if word := each.metadata.get(column, "").strip():
            matched.rows += 1
            matched.add(each.item, each.name, word)
    return matched


def _by_folder(items: Sequence[Described], classes: Sequence[str]) -> Matched:
    """Folders of one level for all items: the level, counted from the file, at which most folders are classes."""
    names = ClassNames(classes)
    hits = Counter(level for each in items for level, folder in _folders(each.name) if names.find(folder))
    level = max(hits, key=lambda each: (hits[each], -each), default=0)
    matched = Matched("the folders of the archive", classes)
    for each in items:
        if folder := dict(_folders(each.name)).get(level):
            matched.rows += 1
            matched.add(each.item, each.name, folder)
        else:
            matched.unmatched.add(each.name)
    return matched


def _folders(name: str) -> Iterator[tuple[int, str]]:
    """(0, the folder that the file lies in), (1, the one above it), …"""
    return enumerate(reversed(name.replace("\\", "/").split("/")[:-1]))
