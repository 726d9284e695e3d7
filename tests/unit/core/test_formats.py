"""Figures as people read them."""

from __future__ import annotations

import pytest

from core.formats import format_bytes, format_count, format_duration, format_rate, format_share


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0, "0.0 s"), (-1, "0.0 s"), (0.44, "0.4 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"),
        (59.6, "1 min 00 s"), (185, "3 min 05 s"), (3599.6, "1 h 00 min"), (7620, "2 h 07 min"),
    ],
)  # fmt: skip
def test_duration(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (2_000_000_000, "2.0 GB"), (3e15, "3000.0 TB")],
)
def test_bytes(count: float, text: str) -> None:
    assert format_bytes(count) == text


def test_counts_rates_and_shares() -> None:
    assert format_count(10015) == "10,015"
    assert [format_rate(value) for value in (None, 3.14, 1017.3)] == ["–", "3.1 images/s", "1,017 images/s"]
    assert (format_share(1, 3), format_share(0, 0)) == ("33.3 %", "–")
