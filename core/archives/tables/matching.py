"""When a cell of a table and a file mean the same name, and the index that finds such files and cells. In constant memory."""

from __future__ import annotations

import os
import posixpath
import sqlite3
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import closing

from core.archives.skipping import is_skipped
from core.archives.tables.columns import IMAGE_NAME
from core.archives.tables.encoding import decode_cell

_FAMILIES = (frozenset(("jpg", "jpeg", "jpe", "jfif")), frozenset(("tif", "tiff")), frozenset(("heic", "heif")))


def composed(path: str) -> str:
    """A name in Unicode's form NFC; a Mac writes NFD."""
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def folded(path: str) -> str:
    """A name for comparison without case."""
    return composed(composed(path).casefold())


def without_suffix(path: str) -> str:
    """A path without the suffix of an image, where it has one."""
    return IMAGE_NAME.sub("", path)


def image_suffix(path: str) -> str:
    """The suffix of an image in lower case without its dot; empty for any other."""
    found = IMAGE_NAME.search(path)
    return found[0].strip()[1:].lower() if found else ""


def suffixes_agree(cell: str, file: str) -> bool:
    """Whether a file has the suffix that a cell asks for (.JPG and .jpeg for .jpg), or any image's where the cell has none."""
    wanted, got = image_suffix(cell), image_suffix(file)
    if not wanted:
        return bool(got) or folded(cell).rpartition("/")[2] == folded(file).rpartition("/")[2]
    return wanted == got or any(wanted in family and got in family for family in _FAMILIES)


def path_key(path: str) -> str:
    """A path for comparison without case and without an image's suffix."""
    return folded(without_suffix(path))


def path_keys(path: str) -> list[str]:
    """The keys of a path and of its ends: `a/b/c.jpg` is also meant by `b/c` and by `c`."""
    parts = path_key(path).split("/")
    return ["/".join(parts[at:]) for at in range(len(parts))]


class NameIndex:
    """Files and cells by name, in a temporary database that spills to an unnamed file."""

    def __init__(self, fallback: str) -> None:
        """An empty index; `fallback` is the encoding of file names that are no UTF-8."""
        self._fallback = fallback
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;"
            "CREATE TABLE files (path BLOB PRIMARY KEY, key TEXT, size INTEGER) WITHOUT ROWID;"
            "CREATE TABLE cells (number INTEGER, key TEXT, cell TEXT, PRIMARY KEY (number, key, cell)) WITHOUT ROWID;"
        )
        self.complete = True  # False: there are more files than the limit

    def add_files(self, files: Iterable[tuple[str, int]], limit: int) -> None:
        """Take up (path, size in bytes) of each file, up to `limit` files."""

        def rows() -> Iterator[tuple[bytes, str, int]]:
            count = 0
            for path, size in files:
                if is_skipped(path):
                    continue
                count += 1
                if count > limit:
                    self.complete = False
                    return
                yield os.fsencode(path), path_key(decode_cell(posixpath.basename(path), self._fallback)), size

        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO files VALUES (?, ?, ?)", rows())
        self._database.execute("COMMIT")
        self._database.execute("CREATE INDEX files_by_key ON files (key)")

    def add_cells(self, column: int, cells: Iterable[str]) -> None:
        """Take up the cells of a table's column, as relative paths."""
        rows = ((column, path_key(cell), composed(cell)) for cell in cells)
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR IGNORE INTO cells VALUES (?, ?, ?)", rows)
        self._database.execute("COMMIT")

    def size_of(self, path: str) -> int | None:
        """A file's size in bytes by its exact path, None if there is no such file."""
        with closing(self._database.execute("SELECT size FROM files WHERE path = ?", (os.fsencode(path),))) as found:
            row = found.fetchone()
        return None if row is None else int(row[0])

    def named_like(self, cell: str, limit: int) -> list[str]:
        """Paths of files whose name is that of the cell but for case, Unicode form and an image's suffix, in order."""
        key = path_key(cell).rpartition("/")[2]
        query = "SELECT path FROM files WHERE key = ? ORDER BY path LIMIT ?"
        with closing(self._database.execute(query, (key, limit))) as found:
            return [os.fsdecode(path) for (path,) in found]

    def text(self, path: str) -> str:
        """A file's path as text: bytes that are no UTF-8 decoded."""
        return decode_cell(path, self._fallback)

    def cells_for(self, column: int, path: str, limit: int) -> list[str]:
        """Different cells of a column that may mean this file by case, suffix or folder, in order."""
        keys = path_keys(self.text(path))
        marks = ",".join("?" * len(keys))
        query = f"SELECT cell FROM cells WHERE number = ? AND key IN ({marks}) ORDER BY cell LIMIT ?"  # noqa: S608 - marks only
        with closing(self._database.execute(query, (column, *keys, limit))) as found:
            return [cell for (cell,) in found]

    def close(self) -> None:
        """Drop the database."""
        self._database.close()
