"""Values that are kept while somebody asks for them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

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


def test_who_asks_for_another_value_does_not_wait() -> None:
    """A job of a million items takes seconds: the pages of all other jobs must not wait for it."""
    recent: Recent[str, str] = Recent(4)
    begun, goes_on = threading.Event(), threading.Event()
    computed: list[str] = []

    def slow() -> str:
        computed.append("slow")
        begun.set()
        assert goes_on.wait(30)
        return "SLOW"

    assert recent.get("held", lambda: "HELD") == "HELD"
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(recent.get, "slow", slow)
        assert begun.wait(30)
        second = threads.submit(recent.get, "slow", slow)
        assert recent.get("held", lambda: "") == "HELD"
        assert recent.get("other", lambda: "OTHER") == "OTHER"
        assert not first.done()
        goes_on.set()
        assert (first.result(30), second.result(30)) == ("SLOW", "SLOW")
    assert computed == ["slow"], "each value once"
