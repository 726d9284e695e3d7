"""A short seeded run of `make chaos` on each kind of database: nothing lost, doubled, wrong, stuck or left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.__main__ import BAD, main
from tests.chaos.faults import KINDS, draw_faults
from tests.chaos.run import run_chaos
from tests.support.servers import postgres_programs

KILLS = 6


@pytest.mark.timeout(600)  # on a machine that does other things, too, each part takes long to start again
@pytest.mark.parametrize(("database", "seed"), [("sqlite", 1), ("postgres", 2)], ids=["sqlite", "postgres"])
def test_a_short_run_finds_nothing(database: str, seed: int, tmp_path: Path, tiny_models: Path) -> None:
    if database == "postgres" and postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    found = run_chaos(tmp_path, tiny_models, kills=KILLS, seed=seed, jobs=3, postgres=database == "postgres", most_items=40)
    assert found["faults"] == KILLS
    assert found["items"] > 0
    assert {kind: found[kind] for kind in BAD} == dict.fromkeys(BAD, 0), found


def test_a_seed_draws_the_same_faults_again() -> None:
    assert draw_faults(7, 50, postgres=True) == draw_faults(7, 50, postgres=True)
    assert draw_faults(7, 50, postgres=True) != draw_faults(8, 50, postgres=True)
    assert {fault.part for fault in draw_faults(7, 500, postgres=True)} == {
        *("api", "beat", "broker", "postgres", "serving", "worker", "worker-1", "worker-2")
    }
    assert "postgres" not in {fault.part for fault in draw_faults(7, 500, postgres=False)}


def test_only_the_kinds_that_were_asked_for_are_drawn() -> None:
    kills = draw_faults(7, 500, postgres=True, kinds=("kill",))
    assert {fault.kind for fault in kills} == {"kill", "kill_child"}
    assert {fault.part for fault in kills} == {"api", "beat", "broker", "postgres", "serving", "worker-1", "worker-2"}
    assert {fault.group for fault in draw_faults(7, 500, postgres=True)} == set(KINDS)
    assert {fault.group for fault in draw_faults(7, 500, postgres=False, kinds=("point", "flush"))} == {"point", "flush"}


def test_a_kind_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["chaos", "--kinds", "kill,frieze"])
    with pytest.raises(SystemExit):
        main()
    assert "expected some of kill, point, freeze, restart, cut, flush, got 'frieze'" in capsys.readouterr().err
