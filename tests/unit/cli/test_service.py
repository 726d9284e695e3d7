"""How a server is named on the command line."""

from __future__ import annotations

import pytest

from cli.output.exit_codes import CliError, ExitCode
from cli.service import read_address
from tests.unit.cli.in_process import Run
from tests.unit.cli.laid_out import Answer, LaidOutServer


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://dermq.example/screening", "https://dermq.example/screening"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("dermq.example", "http://dermq.example"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_without_a_scheme_is_http(given: str, url: str) -> None:
    assert read_address(given) == url


@pytest.mark.parametrize(
    "given", ["ftp://dermq.example", "http://", "http://[", "dermq.example:port", "my server", "file:///tmp"]
)
def test_what_is_no_address_is_a_sentence(given: str) -> None:
    with pytest.raises(CliError, match="expected the address of a DermQ server") as caught:
        read_address(given)
    assert caught.value.code == ExitCode.USAGE
    assert repr(given) in str(caught.value)


def test_a_command_takes_host_and_port(run: Run, server: LaidOutServer) -> None:
    server.lay("GET", "/v1/jobs", Answer({"data": [], "next": None}))
    done = run("jobs", "--server", server.url.removeprefix("http://"))
    assert (done.returncode, "No jobs yet" in done.stderr) == (0, True)
