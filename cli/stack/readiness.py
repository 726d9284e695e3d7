"""Asks a server whether it is ready, without an HTTP client library: the supervisor of a stack stays small."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readiness:
    """The answer of /readyz. `ready` means that jobs are taken and can run; without Serving they are taken and wait."""

    ready: bool
    answered: bool  # whether a server was there at all
    missing: tuple[str, ...] = ()  # the parts that are not ready, by name


def ask_ready(url: str, timeout_s: float = 3.0) -> Readiness:
    """GET /readyz and read its `checks`.

    Args:
        url: base URL, http or https.
        timeout_s: limit of the call.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"expected an http:// or https:// URL, got {url!r}")
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/readyz", timeout=timeout_s) as answer:  # noqa: S310  # checked above
            missing = _missing(answer.read())
            return Readiness(ready=not missing, answered=True, missing=missing)
    except urllib.error.HTTPError as error:
        with error:
            return Readiness(ready=False, answered=True, missing=_missing(error.read()))
    except OSError:
        return Readiness(ready=False, answered=False)


def _missing(body: bytes) -> tuple[str, ...]:
    try:
        checks = json.loads(body)["checks"]
        return tuple(name for name, check in checks.items() if check["status"] != "ok")
    except (ValueError, LookupError, AttributeError, TypeError):  # something other than DermQ answers there
        return ("dermq",)
