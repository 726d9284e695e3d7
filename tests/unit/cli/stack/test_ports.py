"""Ports of the one-machine stack, and the address that they are on."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.output.exit_codes import CliError, ExitCode
from cli.stack import valkey
from cli.stack.environment import Sources, make_environment
from cli.stack.folder import DataFolder
from cli.stack.parts import Addresses, list_parts
from cli.stack.ports import free_port, is_free, listen, own_host
from cli.stack.processes import Identity
from cli.stack.state import StackState, load_state
from core.hosts import LOOPBACKS, find_loopback, has_address, join_host

ELSEWHERE = "192.0.2.1"  # TEST-NET-1 (RFC 5737): no machine's own
ANY = "0.0.0.0"  # noqa: S104 - as an operator sets it
SIX = Addresses(1, 2, 3, "p", "::1")


@pytest.mark.parametrize("take", [lambda: listen(0, ELSEWHERE), lambda: free_port(ELSEWHERE)], ids=["listen", "free_port"])
def test_an_address_that_the_machine_lacks_is_named(take: Callable[[], object]) -> None:
    with pytest.raises(CliError, match=rf"this machine has no address {ELSEWHERE}, on which the stack listens") as caught:
        take()
    assert caught.value.code == ExitCode.USAGE


def test_a_taken_port_is_an_os_error() -> None:
    with listen(0, "127.0.0.1") as listener, pytest.raises(OSError, match="in use"):
        listen(listener.getsockname()[1], "127.0.0.1")


@pytest.mark.parametrize(("present", "expected"), [(LOOPBACKS, "127.0.0.1"), (("127.0.0.1",), "127.0.0.1"), (("::1",), "::1")])
def test_the_stack_listens_on_ipv4_unless_there_is_ipv6_only(
    monkeypatch: pytest.MonkeyPatch, present: tuple[str, ...], expected: str
) -> None:
    monkeypatch.setattr("core.hosts.has_address", present.__contains__)
    assert own_host() == find_loopback() == expected


def test_a_machine_without_loopback_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.hosts.has_address", lambda _: False)
    with pytest.raises(CliError, match=r"neither the address 127\.0\.0\.1 nor ::1") as caught:
        own_host()
    assert (caught.value.code, caught.value.hint) == (ExitCode.USAGE, "Give it one: ip link set lo up")


def test_ipv6_listens_where_the_machine_has_it() -> None:
    """Containers often lack it: there the answer is the sentence."""
    assert has_address("127.0.0.1")
    assert not has_address(ELSEWHERE)
    if not has_address("::1"):
        with pytest.raises(CliError, match="this machine has no address ::1"):
            listen(0, "::1")
        return
    with listen(free_port("::1"), "::1") as listener:
        port = listener.getsockname()[1]
        assert not is_free(port, "::1")
        with socket.create_connection(("::1", port), 5):
            pass


def test_all_parts_get_the_address_in_brackets(tmp_path: Path) -> None:
    assert (SIX.broker_url, SIX.api_url, SIX.serving) == ("redis://:p@[::1]:1/0", "http://[::1]:3", "[::1]:2")
    folder = DataFolder.at(tmp_path)
    environment = make_environment(folder, SIX, stack_id="s", sources=Sources(), models=())
    expected = {
        "DERMQ_BROKER_URL": "redis://:p@[::1]:1/0",
        "DERMQ_SERVING_ADDRESS": "[::1]:2",
        "DERMQ_API_HOST": "::1",
        "DERMQ_METRICS_HOST": "::1",
    }
    assert {name: environment[name] for name in expected} == expected
    assert "--bind_address=::1" in list_parts(folder, SIX, (), 3)["serving"].command
    assert join_host("dermq.example", 1) == "dermq.example:1"
    assert join_host("[::1]", 1) == "[::1]:1"


def test_a_page_of_metrics_elsewhere_stays_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DERMQ_METRICS_HOST", ANY)
    environment = make_environment(DataFolder.at(tmp_path), SIX, stack_id="s", sources=Sources(), models=())
    assert environment["DERMQ_METRICS_HOST"] == ANY


def test_valkey_listens_there(tmp_path: Path) -> None:
    host = "::1" if has_address("::1") else "127.0.0.1"
    addresses = Addresses(free_port(host), 0, 0, "secret", host)
    config = valkey.write_config(tmp_path, addresses)
    assert f"bind {host}\n" in config.read_text()
    with subprocess.Popen([str(valkey.find_binary()), str(config)], stdout=subprocess.DEVNULL) as server:
        try:
            assert valkey.await_ready(addresses, 20.0)
        finally:
            server.terminate()


def test_commands_find_the_address_in_the_state(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    StackState("s", Identity(1, "0"), host="::1").save(path)
    found = load_state(path)
    assert found is not None
    assert found.host == "::1"
    path.write_text(json.dumps({name: value for name, value in json.loads(path.read_text()).items() if name != "host"}))
    earlier = load_state(path)  # of a stack that an earlier release has started
    assert earlier is not None
    assert earlier.host == "127.0.0.1"
