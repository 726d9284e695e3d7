"""Messages to webhooks: secrets, signatures, events; after Standard Webhooks 1.0.

Source: github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

PREFIX = "whsec_"
_SECRET_BYTES = 32


class EventType(StrEnum):
    """What a message is about."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    JOB_PROGRESS = "job.progress"  # a quarter, half or three quarters of its items are done
    MODEL_PROMOTED = "model.promoted"
    MODEL_ROLLED_BACK = "model.rolled_back"
    MODEL_UNLABELLED = "model.unlabelled"
    MODEL_RETIRED = "model.retired"


def new_secret() -> str:
    """A secret of 256 random bits."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def sign(message_id: str, at: datetime, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """The three headers of a message.

    Args:
        message_id: the same for each try.
        at: when this try is sent.
        body: the bytes that are sent.
        keys: secrets, `whsec_` and base64; with two of them, a receiver that has either one can verify the message.
    """
    stamp = str(int(at.timestamp()))
    signed = f"{message_id}.{stamp}.".encode() + body
    found = [hmac.new(base64.b64decode(key.removeprefix(PREFIX)), signed, hashlib.sha256).digest() for key in keys]
    signatures = " ".join(f"v1,{base64.b64encode(each).decode()}" for each in found)
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": signatures}
