"""What the operator does not allow is not opened, whatever the ledger says and whoever swaps folders for links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.archives import beneath
from core.archives.allowlist import allowed_root, check_bucket
from core.archives.base import ArchiveKind, ArchiveRef
from core.archives.beneath import RootFolder, open_below
from core.archives.detect import prepare_archive
from core.archives.folder import FolderArchive
from core.archives.open import open_archive
from core.errors import ArchiveError, ForbiddenSourceError
from core.settings import ApiSettings, Settings
from core.storage.local import LocalStorage
from tests.support.archive_bytes import honest_zip, outcomes

LIMIT = 100_000


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """An allowed folder with a folder and an archive in it, beside what nobody may read."""
    drop = tmp_path / "drop"
    (drop / "x").mkdir(parents=True)
    (drop / "x" / "a.jpg").write_bytes(b"a")
    (drop / "x" / "a.zip").write_bytes(honest_zip({"a.jpg": b"a"}))
    (drop / "x" / "list.csv").write_text("path\na.jpg\n")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "a.jpg").write_bytes(b"secret")
    (tmp_path / "secret" / "a.zip").write_bytes(honest_zip({"a.jpg": b"secret"}))
    (tmp_path / "secret" / "list.csv").write_text("path\na.jpg\n")
    return drop


@pytest.fixture
def settings(drop: Path) -> Settings:
    return Settings(api=ApiSettings(source_roots=(drop,)))


def swap(folder: Path, target: Path) -> None:
    """What an attacker who may write to the allowed folder does between two looks."""
    folder.rename(folder.with_name("away"))
    folder.symlink_to(target)


SOURCES = ["x", "x/a.zip", "x/list.csv"]


@pytest.mark.parametrize("name", SOURCES)
def test_a_folder_swapped_for_a_link_before_prepare(drop: Path, settings: Settings, tmp_path: Path, name: str) -> None:
    swap(drop / "x", tmp_path / "secret")
    with pytest.raises(ForbiddenSourceError, match="DERMQ_API_SOURCE_ROOTS"):
        prepare_archive({"kind": "path", "path": str(drop / name)}, LocalStorage(tmp_path / "o"), "k", settings)


@pytest.mark.parametrize("name", SOURCES)
def test_a_folder_swapped_for_a_link_after_prepare(drop: Path, settings: Settings, tmp_path: Path, name: str) -> None:
    storage = LocalStorage(tmp_path / "o")
    ref = prepare_archive({"kind": "path", "path": str(drop / name)}, storage, "k", settings)
    archive = open_archive(ref, storage, settings)
    assert outcomes(archive)["a.jpg"] == b"a"
    archive.close()
    swap(drop / "x", tmp_path / "secret")
    with pytest.raises(ArchiveError) as caught:
        open_archive(ref, storage, settings)
    assert caught.value.code == "archive_gone"


def test_a_folder_swapped_while_it_is_opened(
    drop: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap comes after the path was resolved and checked, just before the last step of opening."""
    ref = ArchiveRef(ArchiveKind.ZIP, "path", str(drop / "x" / "a.zip"), "a.zip")
    real = open_below

    def late(top: Path, path: Path, flags: int) -> int:
        swap(drop / "x", tmp_path / "secret")
        return real(top, path, flags)

    monkeypatch.setattr("core.archives.source.open_below", late)
    with pytest.raises(ArchiveError, match="gone"):
        open_archive(ref, LocalStorage(tmp_path / "o"), settings)


def test_a_folder_swapped_while_it_is_listed(drop: Path, tmp_path: Path) -> None:
    (drop / "x" / "deep").mkdir()
    (drop / "x" / "deep" / "b.jpg").write_bytes(b"b")
    archive = FolderArchive(drop / "x", LIMIT, drop)
    members = archive.members()
    assert next(members).name == "a.jpg"
    (drop / "x" / "deep").rename(drop / "gone")
    (drop / "x" / "deep").symlink_to(tmp_path / "secret")
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(members)
    archive.close()


def test_the_listing_is_of_the_folder_that_was_opened(drop: Path, tmp_path: Path) -> None:
    archive = FolderArchive(drop / "x", LIMIT, drop)
    swap(drop / "x", tmp_path / "secret")
    assert outcomes(archive)["a.jpg"] == b"a"
    archive.close()


@pytest.mark.parametrize("kind", list(ArchiveKind))
def test_the_ledger_is_not_trusted(settings: Settings, tmp_path: Path, kind: ArchiveKind) -> None:
    """Not with a path that nobody checked, nor with one that was allowed under other settings."""
    ref = ArchiveRef(kind, "path", str(tmp_path / "secret" / "a.zip"), "n", str(tmp_path / "secret"))
    with pytest.raises(ForbiddenSourceError):
        open_archive(ref, LocalStorage(tmp_path / "o"), settings)


def test_a_manifests_root_is_checked_by_itself(settings: Settings, tmp_path: Path) -> None:
    with LocalStorage(tmp_path / "o").writer("k") as writer:
        writer.write(b"path\na.jpg\n")
        writer.commit()
    ref = ArchiveRef(ArchiveKind.MANIFEST, "storage", "k", "n", str(tmp_path / "secret"))
    with pytest.raises(ForbiddenSourceError):
        open_archive(ref, LocalStorage(tmp_path / "o"), settings)


def test_the_innermost_root_is_found(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    settings = ApiSettings(source_roots=(tmp_path, inner, tmp_path / "a"))
    assert allowed_root(inner / "c.zip", settings) == inner
    assert allowed_root(tmp_path / "a", settings) == tmp_path / "a"
    for outside in (tmp_path.parent, tmp_path / ".." / "x", Path(f"{tmp_path}-sibling")):
        with pytest.raises(ForbiddenSourceError):
            allowed_root(outside, settings)


def test_a_single_file_may_be_allowed(drop: Path, tmp_path: Path) -> None:
    path = drop / "x" / "a.zip"
    settings = Settings(api=ApiSettings(source_roots=(path,)))
    ref = prepare_archive({"kind": "path", "path": str(path)}, LocalStorage(tmp_path / "o"), "k", settings)
    archive = open_archive(ref, LocalStorage(tmp_path / "o"), settings)
    assert outcomes(archive) == {"a.jpg": b"a"}
    archive.close()


def test_a_folder_that_may_be_crossed_and_not_listed(drop: Path) -> None:
    (drop / "x").chmod(0o311)
    fd = open_below(drop, drop / "x" / "a.jpg", os.O_RDONLY)
    assert os.read(fd, 9) == b"a"
    os.close(fd)
    (drop / "x").chmod(0o755)


def test_nothing_is_left_open(drop: Path, tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for path in ("x/a.jpg", "x/none/a.jpg", "x/a.jpg/a"):
        try:
            os.close(beneath.open_below(drop, drop / path, os.O_RDONLY))
        except OSError:
            continue
    (drop / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ArchiveError, match="link"):
        RootFolder(drop / "link", drop)
    with pytest.raises(ValueError, match="expected a path below"):
        open_below(drop, drop / ".." / "secret", os.O_RDONLY)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("s3://clinic/2026", True),
        ("s3://clinic/2026/", True),
        ("s3://clinic/2026/a//b.zip", True),
        ("s3://other/x/a.zip", True),
        ("s3://clinic/2026-private/a.zip", False),
        ("s3://clinic/2026/../private/a.zip", False),
        ("s3://clinic/2026/./a.zip", False),
        ("s3://clinic", False),
        ("s3://clinic2/2026/", False),
        ("s3://Clinic/2026/", False),
    ],
)
def test_s3_addresses(uri: str, allowed: bool) -> None:
    settings = ApiSettings(allow_s3_sources=("s3://clinic/2026", "s3://other"))
    if allowed:
        check_bucket(uri, settings)
    else:
        with pytest.raises(ForbiddenSourceError, match="DERMQ_API_ALLOW_S3_SOURCES"):
            check_bucket(uri, settings)


def test_no_s3_address_is_allowed_by_default() -> None:
    with pytest.raises(ForbiddenSourceError, match="off"):
        check_bucket("s3://clinic/a.zip", ApiSettings())
    for kind, root in ((ArchiveKind.S3_PREFIX, ""), (ArchiveKind.ZIP, ""), (ArchiveKind.MANIFEST, "s3://clinic")):
        with pytest.raises(ForbiddenSourceError, match="off"):
            open_archive(ArchiveRef(kind, "s3", "s3://clinic/a", "a", root), LocalStorage(Path("o")), Settings())


@pytest.mark.parametrize(
    ("given", "expected"),
    [("true", ("s3://",)), ("false", ()), ("s3://a/b, s3://c/", ("s3://a/b/", "s3://c/")), ('["s3://a,b"]', ("s3://a,b/",))],
)
def test_the_setting(monkeypatch: pytest.MonkeyPatch, given: str, expected: tuple[str, ...]) -> None:
    monkeypatch.setenv("DERMQ_API_ALLOW_S3_SOURCES", given)
    assert ApiSettings().allow_s3_sources == expected


@pytest.mark.parametrize("given", ["clinic", "https://clinic", "s3://a/../b", '["s3://a"'])
def test_a_setting_that_is_none(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("DERMQ_API_ALLOW_S3_SOURCES", given)
    with pytest.raises(ValidationError, match="expected"):
        ApiSettings()
