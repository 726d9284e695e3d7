"""The application is built without side effects, light, and only where nobody else can reach it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.access.authorization import authorize
from api.app import ROUTERS, create_app
from api.binding import UnsafeBindingError, check_binding, keys_required
from api.parameters import refuse_unknown
from core.hosts import is_loopback
from core.settings import ApiSettings, Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 - to be refused
HEAVY = ("tensorflow", "keras", "celery", "kombu", "pyarrow", "streaming_form_data", "obstore", "worker", "cli", "training")


def test_importing_the_app_is_light() -> None:
    code = f"import sys, api.app, api.__main__; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.4", "example.org", ""])
def test_listening_beyond_loopback_without_keys_is_refused(host: str) -> None:
    with pytest.raises(UnsafeBindingError, match="DERMQ_API_REQUIRE_KEYS is false"):
        create_app(Settings(api=ApiSettings(host=host, require_keys=False)))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ApiSettings(), False),
        (ApiSettings(host=EVERYWHERE), True),
        (ApiSettings(public_url="https://dermq.example"), True),
        (ApiSettings(public_url="http://localhost:8080"), False),
        (ApiSettings(allowed_hosts=("dermq.example",)), True),
        (ApiSettings(public_url="https://dermq.example", require_keys=False), False),
        (ApiSettings(require_keys=True), True),
    ],
    ids=["loopback", "everywhere", "proxied", "public is loopback", "other name", "said", "asked for"],
)
def test_keys_are_asked_for_wherever_others_can_reach_the_server(settings: ApiSettings, expected: bool) -> None:
    assert keys_required(settings) is expected
    check_binding(settings)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "dermq keys create first --scope admin"),
        ({"DERMQ_API_REQUIRE_KEYS": "false"}, "expected a loopback address"),
    ],
    ids=["no key", "none asked for"],
)
def test_the_process_says_why_it_refuses(tmp_path: Path, more: dict[str, str], reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api"],
        capture_output=True,
        text=True,
        env={"DERMQ_API_HOST": EVERYWHERE, "DERMQ_DATA_DIR": str(tmp_path), **more},
        check=False,
    )
    assert done.returncode == 2
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("localhost.evil.org", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def dependencies(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    """What a route asks for, and what that asks for."""
    for each in dependant.dependencies:
        if each.call is not None:
            yield each.call
        yield from dependencies(each)


def test_no_route_waits_for_a_thread_to_learn_who_asks_and_what_is_open() -> None:
    """FastAPI hands each sync dependency to a thread and back: more work than all that these do."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    found = {call for route in routes for call in dependencies(route.dependant)} | {authorize, refuse_unknown}
    assert {call.__name__ for call in found if not iscoroutinefunction(call)} == {"Submitting", "chosen_results"}
    assert {"_resources", "_caller", "_tenant"} <= {call.__name__ for call in found}
