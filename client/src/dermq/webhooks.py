"""Verifies webhooks by the Standard Webhooks scheme (https://www.standardwebhooks.com, specification 1.0.0).

The signature is the HMAC-SHA256 of `id.timestamp.body` under the shared secret. Verify the bytes as they came.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dermq.errors import WebhookError

PREFIX = "whsec_"
TOLERANCE_S = 300.0


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
) -> dict[str, Any]:
    """The event of a webhook, once its signature and time are right.

    Args:
        body: the request's body, byte for byte.
        headers: the request's headers, in any case: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
        secret: `whsec_…` as the server gave it; several while one takes the place of another.
        tolerance_s: seconds that the sender's clock may differ; older requests may be repeats by somebody else.
        now: seconds since 1970; the system's clock if not given.

    Returns:
        The JSON object. The same `webhook-id` may come again: act once on each.

    Raises:
        WebhookError: a header is missing, the time is too far away, no signature fits, or the body is no JSON object.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id, stamp, signatures = (_header(found, f"webhook-{name}") for name in ("id", "timestamp", "signature"))
    _check_time(stamp, tolerance_s, time.time() if now is None else now)
    signed = f"{message_id}.{stamp}.".encode() + body
    expected = [_signature(signed, each) for each in ([secret] if isinstance(secret, str) else secret)]
    given = [value.encode() for kind, _, value in (each.partition(",") for each in signatures.split()) if kind == "v1"]
    if not any(hmac.compare_digest(one, other) for one in expected for other in given):
        raise WebhookError(f"webhook {message_id}: no signature fits: another secret, or the body was changed on its way")
    try:
        event = json.loads(body)
    except ValueError as error:
        raise WebhookError(f"webhook {message_id}: expected JSON, got {body[:40]!r}") from error
    if not isinstance(event, dict):
        raise WebhookError(f"webhook {message_id}: expected a JSON object, got {type(event).__name__}")
    return event


def _header(headers: Mapping[str, str], name: str) -> str:
    if not headers.get(name):
        raise WebhookError(f"the header {name} is missing: this is no webhook of the Standard Webhooks scheme")
    return headers[name]


def _check_time(stamp: str, tolerance_s: float, now: float) -> None:
    if not (stamp.isascii() and stamp.isdigit()):
        raise WebhookError(f"webhook-timestamp: expected seconds since 1970, got {stamp[:40]!r}")
    if abs(now - int(stamp)) > tolerance_s:
        raise WebhookError(f"webhook-timestamp: {stamp} is more than {tolerance_s:g} s from this machine's clock")


def _signature(signed: bytes, secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise WebhookError(f"the secret is not base64 behind {PREFIX}") from error
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
