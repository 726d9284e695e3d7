"""From a cell of a table to the one file that it means, or to a sentence that says why there is none."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from core.archives.tables.encoding import decode_cell, spellings
from core.archives.tables.matching import NameIndex, composed, image_suffix, path_key, path_keys, suffixes_agree, without_suffix
from core.archives.tables.roots import Files
from core.errors import ArchiveError, ItemError, ItemErrorCode

MAX_FILES = 1_000_000  # below one root that are searched for names that are not written exactly
_MAX_CANDIDATES = 50
_SHOWN = 3
_SHOWN_CHARACTERS = 200
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_TEXT_FORMULA = re.compile(r'="([^"]+)"\Z')  # how programs keep Excel from taking 00123 for a number
_DRIVE = re.compile(r"[A-Za-z]:/")


@dataclass(frozen=True, slots=True)
class Found:
    """The file that a cell means."""

    place: str  # relative to the root
    size: int  # bytes; -1 if unknown until it is read
    name: str  # the cell, in the spelling that was found
    differs: bool = False  # whether the file is written otherwise than in the table


class Searched:
    """What is known of all files below a root: listed once, when the first name is not found as it is written."""

    def __init__(self, files: Files, fallback: str) -> None:
        """Lists nothing yet; `fallback` is the encoding of names that are no UTF-8."""
        self.files = files
        self.fallback = fallback
        self._index: NameIndex | None = None

    @property
    def index(self) -> NameIndex:
        """The index of the files; an empty, incomplete one where they may not be listed.

        Raises:
            StorageUnavailableError: their place does not answer.
        """
        if self._index is None:
            self._index = NameIndex(self.fallback)
            try:
                self._index.add_files(self.files.walk(), MAX_FILES)
            except ArchiveError:
                self._index.complete = False
        return self._index

    def close(self) -> None:
        """Drop the index."""
        if self._index is not None:
            self._index.close()


class Lookup:
    """Finds the files of one column. A cell that may mean several files means none; the message names them."""

    def __init__(self, root: str, searched: Searched, column: int, cells: Callable[[], Iterator[str]]) -> None:
        """Reads nothing yet.

        Args:
            root: absolute folder or s3:// prefix, without a slash at its end.
            searched: the files below it.
            column: number of the column.
            cells: the column's cells from the first, each time it is called.
        """
        self._root = root
        self._searched = searched
        self._column = column
        self._cells = cells
        self._knows_cells = False
        self._moved: str | None = None  # the folder of another machine that the absolute paths have in common

    def find(self, cell: str) -> Found:
        """The file that a cell means: as it is written, else the only one that differs in spelling alone.

        Raises:
            ItemError: NOT_FOUND, with up to three candidates; UNSAFE_PATH, outside the root, a link or a device.
            StorageUnavailableError: the files cannot be reached now.
        """
        if formula := _TEXT_FORMULA.match(cell.strip()):
            return replace(self.find(formula[1]), name=cell)
        unsafe: ItemError | None = None
        for text in spellings(cell.strip()):
            for place in self._places(text):
                try:
                    return Found(place, self._size(place), cell if text == cell.strip() else text)
                except ItemError as error:
                    if error.code is not ItemErrorCode.NOT_FOUND:
                        unsafe = error
                        if not self._searched.files.is_folder(place):
                            raise
        text = decode_cell(cell.strip(), self._searched.fallback)
        below, outside = self._relative(text)
        if below is None:
            raise self._outside()
        try:
            return self._search(cell, below)
        except _NothingLikeItError as error:
            raise unsafe or (self._outside() if outside else error) from error

    def _outside(self) -> ItemError:
        return ItemError(ItemErrorCode.UNSAFE_PATH, f"expected a path below {self._root}, got one that leads outside")

    def _size(self, place: str) -> int:
        if self._searched.files.listed and self._searched.index.complete:
            size = self._searched.index.size_of(place)
            if size is None:
                raise ItemError(ItemErrorCode.NOT_FOUND, "there is no such object")
            return size
        return self._searched.files.size(place)

    def _places(self, text: str) -> Iterator[str]:
        """Where a file lies that is written exactly, seen from the root or from a folder above it."""
        slashed = text.replace("\\", "/")
        for path in dict.fromkeys((text, slashed)):
            place = self._below_root(path)
            if place is not None:
                yield place
        place = self._below_root(slashed)
        parts = (place or "").split("/")
        for count in range(1, len(parts)):
            if self._root.endswith("/" + "/".join(parts[:count])):
                yield "/".join(parts[count:])

    def _below_root(self, path: str) -> str | None:
        """The path relative to the root, None if it leads outside. Links are no matter here: they are never followed."""
        if path.startswith(self._root + "/"):
            path = path[len(self._root) + 1 :]
        if _SCHEME.match(path) or _is_absolute(path) or "\0" in path:
            return None
        place = posixpath.normpath(path)
        return None if place in (".", "..") or place.startswith("../") else place

    def _relative(self, text: str) -> tuple[str | None, bool]:
        """(the relative path to search for, whether the cell is an absolute path of another place).

        Absolute paths of another machine are taken relative to the folder that all of them share, so that different paths stay
        different. None: the cell leads outside the root.
        """
        slashed = text.replace("\\", "/")
        place = self._below_root(slashed)
        if place is not None or not _is_absolute(slashed):
            return place, False
        self._read_cells()
        absolute = posixpath.normpath(slashed)
        if not self._moved or not absolute.startswith(self._moved + "/"):
            return None, True
        return absolute[len(self._moved) + 1 :], True

    def _search(self, cell: str, place: str) -> Found:
        index = self._searched.index
        similar = index.named_like(place, _MAX_CANDIDATES)
        wanted = path_key(place)
        fitting = [
            path for path in similar if suffixes_agree(place, index.text(path)) and wanted in path_keys(index.text(path))
        ]
        same = _prefer_suffix(place, [path for path in fitting if _same_stem(index.text(path), place)])
        meant = same or fitting
        if len(meant) != 1:
            raise _not_found(meant, similar, index)
        self._require_single(place, meant[0])
        size = index.size_of(meant[0]) if self._searched.files.listed else self._searched.files.size(meant[0])
        return Found(meant[0], -1 if size is None else size, decode_cell(cell, self._searched.fallback), True)

    def _require_single(self, place: str, path: str) -> None:
        """Refuse a file that differs from what is written if another row, written otherwise, may mean it as well."""
        self._read_cells()
        index = self._searched.index
        text = index.text(path)
        cells = index.cells_for(self._column, path, _MAX_CANDIDATES)
        if _same_stem(text, place):
            cells = [cell for cell in cells if _same_stem(cell, place)]
        others = [cell for cell in cells if suffixes_agree(cell, text) and not _mean_the_same(cell, composed(place))]
        if others:
            raise ItemError(
                ItemErrorCode.NOT_FOUND,
                f"no such file as written; {_shown([path], index)} is alike, but another row of the table may mean it, too: "
                f"{others[0][:_SHOWN_CHARACTERS]!r}; write both paths in full",
            )

    def _read_cells(self) -> None:
        """Read the whole column once: which folder its absolute paths share, and which cells there are."""
        if self._knows_cells:
            return
        self._knows_cells = True
        foreign = (cell for cell in self._decoded_cells() if _is_absolute(cell) and self._below_root(cell) is None)
        self._moved = _common_folder(foreign)
        places = (self._relative(cell)[0] for cell in self._decoded_cells())
        self._searched.index.add_cells(self._column, (place for place in places if place is not None))

    def _decoded_cells(self) -> Iterator[str]:
        for cell in self._cells():
            if cell.strip():
                yield decode_cell(cell.strip(), self._searched.fallback).replace("\\", "/")


def _is_absolute(path: str) -> bool:
    return path.startswith(("/", "\\")) or _DRIVE.match(path.replace("\\", "/")) is not None


def _common_folder(paths: Iterator[str]) -> str:
    """The folder that all absolute paths share; empty if they share no folder but the root of a file system or a drive."""
    common: list[str] | None = None
    for path in paths:
        folders = posixpath.normpath(path).split("/")[:-1]
        if common is None:
            common = folders
            continue
        same = 0
        for ours, theirs in zip(common, folders, strict=False):
            if ours != theirs:
                break
            same += 1
        common = common[:same]
    return "/".join(common) if common and len(common) > 1 else ""


def _same_stem(one: str, other: str) -> bool:
    """Whether two paths are the same but for Unicode's form and an image's suffix."""
    return composed(without_suffix(one)) == composed(without_suffix(other))


def _mean_the_same(one: str, other: str) -> bool:
    """Whether two cells are equal, or would be if one did not leave out the image's suffix."""
    return one == other or (_same_stem(one, other) and not (image_suffix(one) and image_suffix(other)))


def _prefer_suffix(place: str, paths: list[str]) -> list[str]:
    """Of files that differ in an image's suffix alone, the one whose suffix is as written."""
    suffix = posixpath.splitext(place)[1]
    exact = [path for path in paths if suffix and path.endswith(suffix)]
    return exact if len(exact) == 1 else paths


class _NothingLikeItError(ItemError):
    """Not even a file of a similar name is there."""


def _not_found(meant: list[str], similar: list[str], index: NameIndex) -> ItemError:
    code = ItemErrorCode.NOT_FOUND
    if meant:
        return ItemError(
            code,
            f"no such file as written; {len(meant)} files may be meant: {_shown(meant, index)}; write the path of one of them",
        )
    if similar:
        return ItemError(code, f"no such file; of a similar name there is {_shown(similar, index)}")
    if not index.complete:
        return _NothingLikeItError(
            code, f"no such file as written; more than {MAX_FILES:,} files, or files that cannot be listed, were not searched"
        )
    return _NothingLikeItError(code, "no such file, nor one of a name that differs in case, suffix or folder")


def _shown(paths: list[str], index: NameIndex) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(index.text(path)[:_SHOWN_CHARACTERS] for path in paths[:_SHOWN]) + (
        f" and {more} more" if more > 0 else ""
    )
