"""Where a rollback leads, whatever was moved before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.db.models import ModelEvent
from core.db.versions import ModelAction, version_before


def move(action: ModelAction, version: int | None, previous: int | None) -> ModelEvent:
    return ModelEvent(action=action, version=version, previous=previous)


@given(st.integers(1, 5), st.lists(st.one_of(st.integers(1, 5), st.none()), max_size=30))
def test_rollbacks_undo_promotions_one_by_one(first: int, steps: list[int | None]) -> None:
    """A step is a promotion to a version, or None: a rollback. The model is a stack."""
    stack, moves = [first], []
    for step in steps:
        current = stack[-1]
        if step is not None:
            moves.append(move(ModelAction.PROMOTE, step, current))
            if step != current:
                stack.append(step)
        else:
            target = version_before(moves, current)
            assert target == (stack[-2] if len(stack) > 1 else None)
            if target is not None:
                stack.pop()
                moves.append(move(ModelAction.ROLLBACK, target, current))


def test_a_label_moved_by_hand_goes_back_to_the_last_move_on_record() -> None:
    moves = [move(ModelAction.PROMOTE, 2, 1)]
    assert version_before(moves, 7) == 2
    moves.append(move(ModelAction.PROMOTE, 3, 7))
    assert version_before(moves, 3) == 7


def test_a_label_that_was_taken_away_goes_back_to_where_it_was() -> None:
    moves = [move(ModelAction.PROMOTE, 2, None), move(ModelAction.UNLABEL, None, 2)]
    assert version_before(moves, None) == 2
    assert version_before(moves[:1], 2) is None
    assert version_before([], 1) is None
