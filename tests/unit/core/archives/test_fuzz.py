"""A short, fixed run of the fuzz; `make fuzz` runs it for minutes."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.archives import archive_targets, judge, open_zip
from tests.support.archive_bytes import honest_zip


@pytest.mark.parametrize("target", archive_targets())
def test_no_wrong_byte_no_wrong_name_no_member_lost(target: str) -> None:
    fuzz = archive_targets()[target]
    assert [finding for number in range(60) for finding in fuzz(random.Random(f"{target}/{number}"))] == []


def test_the_fuzz_sees_what_is_wrong() -> None:
    data = honest_zip({"a.jpg": b"a's", "b.jpg": b"b's"})
    packed = {"a.jpg": b"b's", "b.jpg": b"other", "c.jpg": b"lost"}
    assert [finding.kind for finding in judge("zip", data, packed, open_zip)[1]] == ["wrong bytes", "wrong name", "lost"]
