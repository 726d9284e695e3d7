"""The application is built without side effects, light, and only where nobody else can reach it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from api.app import create_app
from api.binding import UnsafeBindingError, is_loopback
from core.settings import ApiSettings, Settings

EVERYWHERE = "0.0.0.0"  # noqa: S104 - to be refused
HEAVY = ("tensorflow", "keras", "celery", "kombu", "pyarrow", "streaming_form_data", "obstore", "worker", "cli", "training")


def test_importing_the_app_is_light() -> None:
    code = f"import sys, api.app, api.__main__; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("host", [EVERYWHERE, "::", "192.168.1.4", "example.org", ""])
def test_listening_beyond_loopback_is_refused(host: str) -> None:
    with pytest.raises(UnsafeBindingError, match="DERMQ_API_ALLOW_UNAUTHENTICATED"):
        create_app(Settings(api=ApiSettings(host=host)))


def test_it_can_be_meant() -> None:
    create_app(Settings(api=ApiSettings(host=EVERYWHERE, allow_unauthenticated=True)))


def test_the_process_says_why_it_refuses() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "api"],
        capture_output=True,
        text=True,
        env={"DERMQ_API_HOST": EVERYWHERE, "HOME": "/"},
        check=False,
    )
    assert done.returncode == 2
    assert "loopback" in done.stderr


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
