"""Webhooks are held against the published example of the Standard Webhooks scheme, and against what was changed in them."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from core.webhooks import new_secret, sign
from dermq import verify_webhook
from dermq.errors import WebhookError

# The example of the scheme's specification and of its reference libraries.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
NOW = 1614265330
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(NOW),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_published_example_is_accepted() -> None:
    assert verify_webhook(BODY, HEADERS, SECRET, now=NOW + 299) == {"test": 2432232314}


def test_headers_in_any_case_and_several_signatures_and_secrets() -> None:
    headers = {name.title(): value for name, value in HEADERS.items()}
    headers["Webhook-Signature"] = f"v1a,abc v1,AAAA {headers['Webhook-Signature']}"
    assert verify_webhook(BODY, headers, ["whsec_b3RoZXI=", SECRET], now=NOW) == {"test": 2432232314}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another body": ({"body": BODY + b" "}, "no signature fits"),
    "another secret": ({"secret": "whsec_b3RoZXI="}, "no signature fits"),
    "another id": ({"headers": HEADERS | {"webhook-id": "msg_2"}}, "no signature fits"),
    "another time": ({"headers": HEADERS | {"webhook-timestamp": str(NOW + 1)}}, "no signature fits"),
    "too old": ({"now": NOW + 301}, "more than 300 s"),
    "too early": ({"now": NOW - 301}, "more than 300 s"),
    "no time": ({"headers": HEADERS | {"webhook-timestamp": "soon"}}, "expected seconds since 1970"),
    "no signature": ({"headers": {**HEADERS, "webhook-signature": ""}}, "webhook-signature is missing"),
    "an unknown scheme": ({"headers": HEADERS | {"webhook-signature": "v9,g0hM"}}, "no signature fits"),
    "a secret that is none": ({"secret": "whsec_%%%"}, "not base64"),
}


@pytest.mark.parametrize(("changed", "words"), WRONG.values(), ids=WRONG)
def test_what_was_changed_is_refused(changed: dict[str, Any], words: str) -> None:
    given = {"body": BODY, "headers": HEADERS, "secret": SECRET, "now": NOW} | changed
    with pytest.raises(WebhookError, match=words):
        verify_webhook(given["body"], given["headers"], given["secret"], now=given["now"])


def test_what_the_server_signs_is_accepted() -> None:
    old, new = new_secret(), new_secret()
    at = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    headers = sign("msg_1", at, BODY, [old, new])
    for secret in (old, new, [new_secret(), new]):
        assert verify_webhook(BODY, headers, secret, now=NOW) == {"test": 2432232314}
    with pytest.raises(WebhookError, match="no signature fits"):
        verify_webhook(BODY, headers, new_secret(), now=NOW)
