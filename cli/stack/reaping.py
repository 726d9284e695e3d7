"""Ends what a killed run left behind. Nothing is signalled but what its start time or the run's id proves to be ours."""

from __future__ import annotations

import signal
import time

from cli.stack.processes import Identity, has_variable, is_alive, list_session, send_signal
from cli.stack.state import STACK_VARIABLE, StackState

GRACE_S = 8.0


def reap(state: StackState, grace_s: float = GRACE_S) -> list[str]:
    """End the orphans of an earlier run: SIGTERM, and SIGKILL for those still there after the grace.

    Args:
        state: what the earlier run wrote down. The caller holds the folder's lock, so that run's supervisor is dead.
        grace_s: seconds between the two signals.

    Returns:
        Names of the processes that were found, in the order of the file.
    """
    orphans = {name: found for name, identity in state.processes.items() if (found := _find(state, identity))}
    for name, found in orphans.items():
        leader = state.processes[name]
        # The leader first and alone: a pool's parent lets its children finish.
        for identity in [leader] if leader in found else found:
            send_signal(identity.pid, signal.SIGTERM)
    everyone = [identity for found in orphans.values() for identity in found]
    _await_end(everyone, grace_s)
    for found in orphans.values():
        for identity in found:
            if is_alive(identity):
                send_signal(identity.pid, signal.SIGKILL)
    _await_end(everyone, grace_s)
    return list(orphans)


def _find(state: StackState, leader: Identity) -> list[Identity]:
    """The recorded process, if it lives, and the members of its session that carry the run's id."""
    members = [
        member
        for member in list_session(leader.pid)
        if member.pid != leader.pid and has_variable(member.pid, STACK_VARIABLE, state.stack_id)
    ]
    return [leader, *members] if is_alive(leader) else members


def _await_end(identities: list[Identity], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline and any(is_alive(identity) for identity in identities):
        time.sleep(0.05)
