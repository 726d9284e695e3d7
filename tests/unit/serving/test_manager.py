"""ServableManager with servables that only count: states, order of loading and unloading, retries, users."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from serving.embedded.manager import ServableManager, State
from serving.embedded.status import StatusError
from tests.support.servers import wait_until


class Plain:
    def __init__(self, version: int) -> None:
        self.version = version
        self.closed = False

    def close(self) -> None:
        self.closed = True


class Loader:
    """Loads what is not broken, and writes down what it did."""

    def __init__(self) -> None:
        self.broken: set[int] = set()
        self.loaded: list[int] = []
        self.attempts: list[int] = []
        self.may_load = threading.Event()
        self.may_load.set()

    def __call__(self, model: str, version: int, _path: Path) -> Plain:
        assert self.may_load.wait(10)
        self.attempts.append(version)
        if version in self.broken:
            raise StatusError(grpc.StatusCode.NOT_FOUND, f"{model} {version} is broken")
        self.loaded.append(version)
        return Plain(version)


def paths(*versions: int) -> dict[int, Path]:
    return {version: Path(f"/{version}") for version in versions}


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def manager(loader: Loader) -> Iterator[ServableManager[Plain]]:
    manager = ServableManager(loader, max_retries=2, retry_interval_s=0.02)
    manager.start()
    yield manager
    manager.stop()


def states(manager: ServableManager[Plain]) -> dict[int, State]:
    return {report.number: report.state for report in manager.report("m")}


def eventually(condition: Callable[[], bool]) -> None:
    wait_until(condition, timeout_s=10, what="another state", poll_s=0.002)


def test_the_newest_version_loads_first_and_answers(manager: ServableManager[Plain], loader: Loader) -> None:
    manager.aspire("m", paths(1, 3, 2))
    eventually(lambda: states(manager) == dict.fromkeys((3, 2, 1), State.AVAILABLE))
    assert loader.loaded == [3, 2, 1]
    with manager.use("m", None) as held, manager.use("m", 2) as other, manager.use("m", 9) as none:
        assert held is not None
        assert other is not None
        assert (held[0], other[0], none) == (3, 2, None)


def test_the_old_version_goes_only_when_the_new_one_is_there(manager: ServableManager[Plain], loader: Loader) -> None:
    manager.aspire("m", paths(1))
    eventually(lambda: states(manager) == {1: State.AVAILABLE})
    loader.may_load.clear()
    manager.aspire("m", paths(2))
    eventually(lambda: states(manager).get(2) is State.LOADING)
    assert states(manager)[1] is State.AVAILABLE
    loader.may_load.set()
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.END})


def test_a_version_in_use_is_closed_after_its_last_user(manager: ServableManager[Plain]) -> None:
    manager.aspire("m", paths(1))
    eventually(lambda: states(manager) == {1: State.AVAILABLE})
    with manager.use("m", 1) as held:
        assert held is not None
        manager.aspire("m", {})
        eventually(lambda: states(manager) == {1: State.UNLOADING})
        time.sleep(0.02)
        assert not held[1].closed
        with manager.use("m", 1) as refused:
            assert refused is None
    eventually(lambda: states(manager) == {1: State.END})
    assert held[1].closed


def test_a_failed_load_is_retried_then_ends_with_its_error(manager: ServableManager[Plain], loader: Loader) -> None:
    loader.broken = {2}
    manager.aspire("m", paths(1, 2))
    eventually(lambda: states(manager) == {2: State.END, 1: State.AVAILABLE})
    assert loader.attempts.count(2) == 3
    assert str(manager.report("m")[0].error) == "NOT_FOUND: m 2 is broken"
    manager.aspire("m", paths(1, 2))
    time.sleep(0.05)
    assert loader.attempts.count(2) == 3  # no later retry
    manager.aspire("m", paths(1))
    loader.broken = set()
    manager.aspire("m", paths(1, 2))  # gone and back: begun anew
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.AVAILABLE})


def test_a_version_that_failed_is_tried_again_when_its_files_have_changed(
    manager: ServableManager[Plain], loader: Loader, tmp_path: Path
) -> None:
    (tmp_path / "saved_model.pb").write_text("the first half")
    loader.broken = {1}
    manager.aspire("m", {1: tmp_path})
    eventually(lambda: states(manager) == {1: State.END})
    manager.aspire("m", {1: tmp_path})
    assert (states(manager), loader.attempts) == ({1: State.END}, [1, 1, 1])
    loader.broken = set()
    (tmp_path / "saved_model.pb").write_text("the first half and the second")
    manager.aspire("m", {1: tmp_path})
    eventually(lambda: states(manager) == {1: State.AVAILABLE})
    (tmp_path / "README.md").write_text("what is served stays")
    manager.aspire("m", {1: tmp_path})
    assert loader.loaded == [1]


def test_a_load_that_fails_at_first_may_succeed(manager: ServableManager[Plain], loader: Loader) -> None:
    loader.broken = {1}
    manager.aspire("m", paths(1))
    eventually(lambda: loader.attempts.count(1) >= 1)
    loader.broken = set()
    eventually(lambda: states(manager) == {1: State.AVAILABLE})
    assert manager.report("m")[0].error is None


def test_the_old_version_stays_while_all_new_ones_fail(manager: ServableManager[Plain], loader: Loader) -> None:
    manager.aspire("m", paths(1))
    eventually(lambda: states(manager) == {1: State.AVAILABLE})
    loader.broken = {2}
    manager.aspire("m", paths(2))
    eventually(lambda: states(manager) == {2: State.END, 1: State.AVAILABLE})


def test_a_version_wanted_again_while_it_unloads_comes_back(manager: ServableManager[Plain]) -> None:
    manager.aspire("m", paths(1))
    eventually(lambda: states(manager) == {1: State.AVAILABLE})
    with manager.use("m", 1):
        manager.aspire("m", {})
        eventually(lambda: states(manager) == {1: State.UNLOADING})
        manager.aspire("m", paths(1))
    eventually(lambda: states(manager) == {1: State.AVAILABLE})


def test_an_unknown_model_has_no_versions(manager: ServableManager[Plain]) -> None:
    assert manager.report("nope") == []


def test_waiting_ends_when_the_time_is_over_or_the_manager_stops(loader: Loader) -> None:
    manager = ServableManager(loader)
    manager.start()
    assert not manager.wait_until(lambda: False, timeout_s=0.01)
    waiter = threading.Thread(target=lambda: manager.wait_until(lambda: False))
    waiter.start()
    manager.stop()
    waiter.join(5)
    assert not waiter.is_alive()


class AnyOrder(RuleBasedStateMachine):
    """Whatever is aspired to, broken, repaired and held, in whatever order: it ends as wanted, and nothing in use is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.loader = Loader()
        self.manager = ServableManager(self.loader, max_retries=1, retry_interval_s=0.001)
        self.manager.start()
        self.wanted: set[int] = set()
        self.held: list[tuple[object, Plain]] = []

    @rule(versions=st.sets(st.integers(1, 4)))
    def aspire(self, versions: set[int]) -> None:
        self.wanted = versions
        self.manager.aspire("m", paths(*versions))

    @rule(versions=st.sets(st.integers(1, 4)))
    def break_some(self, versions: set[int]) -> None:
        self.loader.broken = versions

    @rule(version=st.one_of(st.none(), st.integers(1, 4)))
    def hold(self, version: int | None) -> None:
        holding = self.manager.use("m", version)
        taken = holding.__enter__()
        if taken is None:
            holding.__exit__(None, None, None)
        else:
            self.held.append((holding, taken[1]))

    @rule()
    def release(self) -> None:
        if self.held:
            self.held.pop()[0].__exit__(None, None, None)  # type: ignore[attr-defined]

    @invariant()
    def nothing_in_use_is_closed(self) -> None:
        assert not any(plain.closed for _, plain in self.held)

    def teardown(self) -> None:
        while self.held:
            self.release()
        self.loader.broken = set()
        self.manager.aspire("m", {})
        eventually(lambda: set(states(self.manager).values()) <= {State.END})
        self.manager.aspire("m", paths(*self.wanted))
        eventually(lambda: {v for v, state in states(self.manager).items() if state is State.AVAILABLE} == self.wanted)
        self.manager.stop()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
