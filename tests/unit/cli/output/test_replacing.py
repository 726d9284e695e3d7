"""A file that is written stays what it was until the new one is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.output.replacing import replacing


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_bytes(b"old")
    stopped = replacing(path)
    file = stopped.__enter__()
    file.write(b"half")
    file.flush()
    assert path.read_bytes() == b"old"
    assert not stopped.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [each.name for each in tmp_path.iterdir()] == ["results.csv"]
    assert path.read_bytes() == b"old"
    with replacing(path) as file:
        file.write(b"new")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("results.csv", b"new")]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    """Results of patients that only their owner could read are still private."""
    (tmp_path / "elsewhere").mkdir()
    private = tmp_path / "elsewhere" / "private.csv"
    private.write_bytes(b"old")
    private.chmod(0o600)
    link = tmp_path / "results.csv"
    link.symlink_to(private)
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (private.read_bytes(), private.stat().st_mode & 0o777) == (b"new", 0o600)


def test_a_device_is_written_and_not_replaced() -> None:
    with replacing(Path("/dev/null")) as file:
        file.write(b"x")
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("name", ["a" * 250 + ".csv", "My%20Study?x=1#2.csv", "new\nline.csv", "odd\udcff.csv"])
def test_any_name(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as file:
        file.write(b"x")
    assert [each.name for each in tmp_path.iterdir()] == [name]
