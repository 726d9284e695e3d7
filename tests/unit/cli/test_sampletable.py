"""The demo's table: what it names lies beside it, and what is to be found is there."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from cli.commands.demo import has_screen
from cli.sampletable import write_sample_table


def read(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_row_has_its_file_and_a_patient_up_to_three_pictures(tmp_path: Path) -> None:
    rows = read(write_sample_table(tmp_path, images=21))
    assert len(rows) == 21 + 3 + 3
    assert all((tmp_path / row["image"]).is_file() for row in rows)
    assert all(row["dx"] == row["image"].split("/")[0] for row in rows)
    originals = [row for row in rows if "_0" in row["image"] and "_copy" not in row["image"]]
    assert set(Counter(row["patient_id"] for row in originals).values()) == {3}
    copies = {row["image"]: row for row in rows if "_copy" in row["image"]}
    for name, row in copies.items():
        original = next(each for each in rows if each["image"] == name.replace("_copy", ""))
        assert row | {"image": ""} == original | {"image": ""}
        assert (tmp_path / name).read_bytes() != (tmp_path / original["image"]).read_bytes()


def test_the_same_seed_draws_the_same_table(tmp_path: Path) -> None:
    one, other = (write_sample_table(tmp_path / name, images=7) for name in ("one", "other"))
    assert one.read_text() == other.read_text()
    assert (tmp_path / "one/nv/nv_0001.jpg").read_bytes() == (tmp_path / "other/nv/nv_0001.jpg").read_bytes()


def test_no_browser_is_opened_where_nobody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    assert not has_screen()  # standard output is no terminal here
