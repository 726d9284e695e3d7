"""schemathesis over the committed OpenAPI document, with keys of two tenants and without: no 5xx, no answer that the document
does not describe (headers too), no row of another tenant. A longer run: `python -m tests.fuzz.http`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.http.caller import Callers, running_callers


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with running_callers(tmp_path_factory.mktemp("schema")) as running:
        yield running


@pytest.mark.parametrize("who", ["north", "south", "nobody"])
def test_every_answer_is_one_that_the_document_describes(callers: Callers, who: str) -> None:
    done = callers.run(who, examples=3, phases=("fuzzing", "stateful"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout
    assert f"Selected: {len(callers.operations)}/{len(callers.operations)}" in done.stdout


def test_the_document_says_which_headers_an_answer_has(callers: Callers) -> None:
    for method, path, operation in callers.operations:
        for status, answer in operation["responses"].items():
            assert answer["headers"]["X-Request-ID"]["required"], (method, path, status)
            assert ("WWW-Authenticate" in answer["headers"]) is (status in ("401", "403")), (method, path, status)
            assert status not in ("429", "503") or "Retry-After" in answer["headers"], (method, path, status)
