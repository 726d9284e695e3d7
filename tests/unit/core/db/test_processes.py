"""The verdict on a process whose lease ran out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from core.db.processes import Verdict, judge

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seen_at", "observed_since", "verdict"),
    [
        (ago(5), None, Verdict.ALIVE),
        (ago(15), ago(3600), Verdict.ALIVE),
        (ago(16), ago(3600), Verdict.DEAD),
        (ago(16), ago(14), Verdict.OPEN),  # whoever asks was cut off itself until just now
        (ago(7200), None, Verdict.OPEN),
        (None, None, Verdict.DEAD),  # an earlier release keeps no record
    ],
)
def test_silence_is_death_only_where_others_are_heard(
    seen_at: datetime | None, observed_since: datetime | None, verdict: Verdict
) -> None:
    assert judge(seen_at, observed_since, NOW, 15) is verdict
