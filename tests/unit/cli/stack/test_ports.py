"""Ports of the one-machine stack."""

from __future__ import annotations

import pytest

from cli.output.exit_codes import CliError, ExitCode
from cli.stack.ports import free_port, listen

ELSEWHERE = "192.0.2.1"  # TEST-NET-1 (RFC 5737): no machine's own


def test_a_machine_without_the_address_is_told_how_to_get_it() -> None:
    """As a host that has IPv6 only, or a network namespace whose loopback device is down."""
    for find in (lambda: listen(0, ELSEWHERE), lambda: free_port(ELSEWHERE)):
        with pytest.raises(CliError, match=rf"this machine has no address {ELSEWHERE}, on which the stack listens") as caught:
            find()
        assert caught.value.code == ExitCode.USAGE
        assert caught.value.hint == f"Give it one: ip link set lo up; ip addr add {ELSEWHERE}/8 dev lo"


def test_a_taken_port_is_an_os_error() -> None:
    with listen(0) as listener, pytest.raises(OSError, match="in use"):
        listen(listener.getsockname()[1])
