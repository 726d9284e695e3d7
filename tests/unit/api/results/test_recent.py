"""Values that are kept while somebody asks for them."""

from __future__ import annotations

import pytest

from api.results.recent import Recent


def test_what_was_asked_for_last_is_kept_and_computed_once() -> None:
    computed: list[str] = []
    recent: Recent[str, str] = Recent(2)

    def get(key: str) -> str:
        return recent.get(key, lambda: computed.append(key) or key.upper())

    assert [get(key) for key in ("a", "b", "a", "c", "a", "b")] == ["A", "B", "A", "C", "A", "B"]
    assert computed == ["a", "b", "c", "b"]  # c took the place of b, which nobody had asked for the longest


def test_nothing_is_kept_of_a_failure() -> None:
    recent: Recent[int, int | None] = Recent(2)
    with pytest.raises(ZeroDivisionError):
        recent.get(1, lambda: 1 // 0)
    assert recent.get(1, lambda: None) is None
    assert recent.get(1, lambda: 5) is None  # None is a value
