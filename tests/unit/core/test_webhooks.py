"""Signatures after Standard Webhooks: its own example, and its reference library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from core.webhooks import PREFIX, new_secret, sign


def test_the_example_of_the_specification() -> None:
    at = datetime.fromtimestamp(1_614_265_330, UTC)
    headers = sign("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}', ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_the_reference_library_takes_either_of_two_secrets_and_no_third() -> None:
    first, second, third = (new_secret() for _ in range(3))
    assert all(each.startswith(PREFIX) for each in (first, second, third))
    body, now = b'{"type":"job.succeeded"}', datetime.now(UTC)
    headers = sign("msg_1", now, body, [first, second])
    for secret in (first, second):
        assert Webhook(secret).verify(body.decode(), headers) == {"type": "job.succeeded"}
    for given, text in ((third, body.decode()), (first, '{"type":"job.failed"}')):
        with pytest.raises(WebhookVerificationError):
            Webhook(given).verify(text, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(body.decode(), sign("msg_1", now - timedelta(hours=1), body, [first]))
