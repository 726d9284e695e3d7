"""A job is named by its id, the beginning of it, or `last`."""

from __future__ import annotations

from typing import Any

import pytest

from cli.http.client import Client
from cli.http.jobreference import find_job
from cli.output.exit_codes import CliError, ExitCode
from tests.unit.cli.laid_out import Answer, LaidOutServer

IDS = [f"019a9f3e-7c1{digit}-7d2b-9a44-0c5b8f6e2d1{digit}" for digit in "2101"]  # newest first; two are one id


def page(ids: list[str], following: str | None = None) -> Answer:
    rows: list[dict[str, Any]] = [{"id": each} for each in ids]
    return Answer({"data": rows, "next": following})


def test_a_whole_id_is_not_looked_up(server: LaidOutServer) -> None:
    with Client(server.url) as client:
        assert find_job(client, IDS[0].upper()) == IDS[0]
    assert server.seen == []


def test_last_is_the_newest(server: LaidOutServer) -> None:
    server.lay("GET", "/v1/jobs", page(IDS, "/v1/jobs?cursor=x"))
    with Client(server.url) as client:
        assert find_job(client, "last") == IDS[0]
    assert [seen.query for seen in server.seen] == [{"limit": "1"}]


@pytest.mark.parametrize("beginning", ["019a9f3e-7c10", "019A9F3E-7C10-7d"])
def test_a_beginning_of_one_job_is_that_job_on_a_later_page_too(server: LaidOutServer, beginning: str) -> None:
    server.lay("GET", "/v1/jobs", page(IDS[:2], f"{server.url}/v1/jobs?cursor=x"), page(IDS[2:3]))
    with Client(server.url) as client:
        assert find_job(client, beginning) == IDS[2]
    assert len(server.seen) == 2


@pytest.mark.parametrize(
    ("reference", "code", "words"),
    [
        ("019a9f3e", ExitCode.USAGE, "3 jobs have an id that begins with 019a9f3e: 019a9f3e-7c12-7d2b"),
        ("019b", ExitCode.NOT_FOUND, "no job has an id that begins with 019b"),
        ("nope", ExitCode.USAGE, "expected a job's id, the beginning of one (4 characters or more) or `last`, got 'nope'"),
        ("019", ExitCode.USAGE, "got '019'"),
        ("", ExitCode.USAGE, "got ''"),
        ("../models", ExitCode.USAGE, "got '../models'"),
    ],
)
def test_what_names_no_single_job_is_said(server: LaidOutServer, reference: str, code: ExitCode, words: str) -> None:
    server.lay("GET", "/v1/jobs", page(IDS[:3]))
    with Client(server.url) as client, pytest.raises(CliError) as caught:
        find_job(client, reference)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_where_there_is_no_job_none_is_the_last(server: LaidOutServer) -> None:
    server.lay("GET", "/v1/jobs", page([]))
    with Client(server.url) as client, pytest.raises(CliError, match="there is no job yet"):
        find_job(client, "last")
