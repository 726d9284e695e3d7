"""Encoded images read in place: members of a ZIP, or files of folders. Nothing is extracted."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import InvalidRequestError
from training.datasets.base import ImageReader

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"})


@dataclass(frozen=True, slots=True)
class _ZipReader:
    archive: zipfile.ZipFile
    members: Sequence[str]

    def read(self, position: int) -> bytes:
        return self.archive.read(self.members[position])


@dataclass(frozen=True, slots=True)
class ZipSource:
    """Images that are members of one ZIP."""

    path: Path
    members: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.members)

    def content_key(self) -> str:
        """SHA-256 over member names, sizes and CRC-32s: the central directory is enough, no member is read."""
        digest = hashlib.sha256()
        with zipfile.ZipFile(self.path) as archive:
            for name in self.members:
                info = archive.getinfo(name)
                digest.update(f"{name}\0{info.file_size}\0{info.CRC}\n".encode())
        return digest.hexdigest()

    @contextmanager
    def open(self) -> Iterator[ImageReader]:
        """A reader over the ZIP; closes it at the end."""
        with zipfile.ZipFile(self.path) as archive:
            yield _ZipReader(archive, self.members)


@dataclass(frozen=True, slots=True)
class _FileReader:
    paths: Sequence[Path]

    def read(self, position: int) -> bytes:
        return self.paths[position].read_bytes()


@dataclass(frozen=True, slots=True)
class FileSource:
    """Images that are files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def content_key(self) -> str:
        """SHA-256 over the bytes of all files, in order."""
        digest = hashlib.sha256()
        for path in self.paths:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    @contextmanager
    def open(self) -> Iterator[ImageReader]:
        """A reader over the files."""
        yield _FileReader(self.paths)


def zip_members(path: Path) -> list[str]:
    """Names of the image members of a ZIP, in its order.

    Raises:
        InvalidRequestError: not a ZIP, or no image in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    except (OSError, zipfile.BadZipFile) as error:
        raise InvalidRequestError(f"{path}: expected a readable ZIP of images, got {error}") from error
    if not names:
        raise InvalidRequestError(f"{path}: expected a ZIP with images, found no member ending in {sorted(IMAGE_SUFFIXES)}")
    return names


def folder_files(root: Path) -> list[Path]:
    """The image files below a folder, sorted.

    Raises:
        InvalidRequestError: no such folder, or no image in it.
    """
    if not root.is_dir():
        raise InvalidRequestError(f"{root}: expected a folder of images, found none; check --data")
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not files:
        raise InvalidRequestError(f"{root}: expected images in this folder, found no file ending in {sorted(IMAGE_SUFFIXES)}")
    return files


def pick_by_stem(available: Mapping[str, str | Path], ids: Sequence[str], where: Path) -> list[str | Path]:
    """For each image id the member or file whose name without suffix it is.

    Raises:
        InvalidRequestError: an id has no image.
    """
    missing = [key for key in ids if key not in available]
    if missing:
        raise InvalidRequestError(
            f"{where}: {len(missing)} of {len(ids)} images named in the metadata are not there (first: {missing[0]}); "
            "fetch the missing part or pass the folder that holds all parts"
        )
    return [available[key] for key in ids]
