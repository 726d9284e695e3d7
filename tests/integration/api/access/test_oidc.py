"""Tokens of an OpenID Connect provider: a real issuer over HTTP, with keys of its own, made by the test."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from sqlalchemy import update
from structlog.testing import capture_logs

from api.access.oidc import REFRESH_S, Provider, ProviderAwayError
from api.errors import UnauthenticatedError
from core.db.engine import transaction
from core.db.models import Tenant
from core.settings import ApiSettings, OidcSettings
from tests.integration.api.conftest import Api, make_settings, problem, running_api
from tests.support.httpserver import QuietHandler, serving_http
from tests.support.keyed import Keys, bearer
from tests.support.servers import free_port

AUDIENCE = "dermq"


@dataclass
class Issuer:
    """A provider: its keys by id, and how often it was asked."""

    keys: dict[str, Any] = field(default_factory=lambda: {"one": rsa.generate_private_key(65_537, 2048)})
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def document(self, path: str) -> dict[str, Any] | None:
        self.asked.append(path)
        if path.endswith("/openid-configuration"):
            return {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}
        return {"keys": [self._public(kid, key) for kid, key in self.keys.items()]} if path.endswith("/keys") else None

    @staticmethod
    def _public(kid: str, key: Any) -> dict[str, Any]:
        kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}

    def token(self, *, kid: str = "one", key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        whole = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300, "dermq_tenant": "north"}
        whole |= {"scope": "openid dermq:read dermq:submit"} | claims
        whole = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(whole, self.keys.get(kid) if key is None else key, algorithm, {"kid": kid})


@contextmanager
def issuing() -> Iterator[Issuer]:
    issuer = Issuer()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            found = issuer.document(self.path)
            body = json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving_http(Handler) as port:
        issuer.url = f"http://127.0.0.1:{port}/realms/clinic"
        yield issuer


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture(scope="module")
def api(issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = make_settings(
        tmp_path_factory.mktemp("oidc"),
        api=ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True),
        oidc=OidcSettings(issuer=issuer.url, audience=AUDIENCE),
    )
    with running_api(settings) as running:
        Keys(running.engine).tenant("north")
        Keys(running.engine).tenant("south")
        yield running


def status(api: Api, token: str, path: str = "/v1/jobs") -> int:
    return api.client.get(path, headers=bearer(token)).status_code


def test_a_token_acts_for_its_tenant_within_its_scopes(api: Api, issuer: Issuer) -> None:
    north, south = bearer(issuer.token()), bearer(issuer.token(dermq_tenant="south"))
    made = api.client.post("/v1/jobs?name=a.zip", content=b"PK\x05\x06" + bytes(18), headers=north)
    assert made.status_code == 202, made.text
    assert api.client.get(f"/v1/jobs/{made.json()['id']}", headers=north).status_code == 200
    problem(api.client.get(f"/v1/jobs/{made.json()['id']}", headers=south), 404, "not_found")
    problem(api.client.get("/v1/admin/tenants", headers=north), 403, "missing_scope")
    admin = bearer(issuer.token(scope=["dermq:admin"]))
    audit = api.client.get("/v1/admin/audit", headers=admin).json()["data"]
    assert [(each["actor"], each["key"]) for each in audit if each["action"] == "job.submit"] == [("oidc:ada", None)]
    problem(api.client.get("/v1/jobs", headers=bearer(issuer.token(scope="openid profile read admin"))), 403, "missing_scope")
    assert len([path for path in issuer.asked if path.endswith("/keys")]) == 1, "the keys are kept"


def test_keys_go_on_working_beside_tokens(api: Api) -> None:
    assert status(api, Keys(api.engine).make("default")) == 200


def by_shared_secret(issuer: Issuer, secret: str) -> str:
    """A token that is signed by HMAC with what everybody knows; the library itself would not make one."""
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    parts = [{"alg": "HS256", "kid": "one"}, claims]
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in parts)
    mac = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def test_tokens_that_are_refused(api: Api, issuer: Issuer) -> None:
    foreign = rsa.generate_private_key(65_537, 2048)
    now = int(time.time())
    public = json.dumps(Issuer._public("one", issuer.keys["one"]))
    refused = {
        "signed by another key": issuer.token(key=foreign),
        "another audience": issuer.token(aud="mail"),
        "no audience": issuer.token(aud=None),
        "another issuer": issuer.token(iss="http://127.0.0.1/other"),
        "over": issuer.token(exp=now - 60),
        "without an end": issuer.token(exp=None),
        "not yet": issuer.token(nbf=now + 600),
        "of nobody": issuer.token(sub=None),
        "without a signature": jwt.encode({"iss": issuer.url, "aud": AUDIENCE, "sub": "a", "exp": now + 60}, None, "none"),
        "signed with the public key": by_shared_secret(issuer, public),
        "an unknown key": issuer.token(kid="unknown", key=foreign),
        "no such tenant": issuer.token(dermq_tenant="west"),
        "no tenant": issuer.token(dermq_tenant=None),
        "a tenant that is no name": issuer.token(dermq_tenant=["north"]),
        "nonsense": "a.b.c",
    }
    answers = {what: api.client.get("/v1/jobs", headers=bearer(token)) for what, token in refused.items()}
    assert {what: answer.status_code for what, answer in answers.items()} == dict.fromkeys(refused, 401)
    for answer in answers.values():
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    suspended = Keys(api.engine)
    admin = bearer(issuer.token(scope="dermq:admin", dermq_tenant="default"))
    suspended.tenant("east")
    token = issuer.token(dermq_tenant="east")
    assert status(api, token) == 200
    assert api.client.patch("/v1/admin/tenants/east", json={"suspended": True}, headers=admin).status_code == 200
    assert status(api, token) == 401


def test_a_new_key_of_the_provider_is_found_and_an_outage_survived() -> None:
    now = [1000.0]
    with issuing() as issuer:
        provider = Provider(OidcSettings(issuer=issuer.url, audience=AUDIENCE), lambda: now[0])
        assert provider.verify(issuer.token())["sub"] == "ada"
        issuer.keys = {"two": ec.generate_private_key(ec.SECP256R1())}
        after = issuer.token(kid="two", algorithm="ES256")
        with pytest.raises(UnauthenticatedError):
            provider.verify(after)
        assert len(issuer.asked) == 2, "not asked again for each token that names an unknown key"
        now[0] += REFRESH_S
        assert provider.verify(after)["sub"] == "ada"
        with pytest.raises(UnauthenticatedError):
            provider.verify(jwt.encode({"sub": "x"}, rsa.generate_private_key(65_537, 2048), "RS256", {"kid": "one"}))
        good = issuer.token(kid="two", algorithm="ES256")
    now[0] += 3600
    assert provider.verify(good)["sub"] == "ada"
    now[0] += 86_400
    with pytest.raises(ProviderAwayError):
        provider.verify(good)


def test_an_answer_without_an_end_is_not_read_to_its_end() -> None:
    most, sent = 64, []

    class Endless(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(ConnectionError):
                while len(sent) < most:
                    self.wfile.write(bytes(1_000_000))
                    sent.append(1)

    with serving_http(Endless) as port:
        provider = Provider(OidcSettings(issuer=f"http://127.0.0.1:{port}", audience=AUDIENCE))
        with pytest.raises(ProviderAwayError):
            provider.verify(Issuer().token())
    assert 0 < len(sent) < most


def test_who_has_a_known_key_does_not_wait_for_the_provider() -> None:
    now = [1000.0]
    asked, goes_on = threading.Event(), threading.Event()
    with issuing() as issuer:
        provider = Provider(OidcSettings(issuer=issuer.url, audience=AUDIENCE), lambda: now[0])
        token, unknown = issuer.token(), issuer.token(kid="two", key=issuer.keys["one"])
        assert provider.verify(token)["sub"] == "ada"
        document = issuer.document

        def answer_late(path: str) -> dict[str, Any] | None:
            asked.set()
            assert goes_on.wait(30)
            return document(path)

        issuer.document = answer_late  # type: ignore[method-assign]
        now[0] += REFRESH_S
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(provider.verify, unknown)
            assert asked.wait(30)
            assert provider.verify(token)["sub"] == "ada", "while another thread asks"
            now[0] += 3600
            assert provider.verify(token)["sub"] == "ada", "also when the keys are to be asked for again"
            assert not waiting.done()
            goes_on.set()
            with pytest.raises(UnauthenticatedError):
                waiting.result(30)


def test_all_that_come_first_wait_for_one_answer() -> None:
    with issuing() as issuer:
        provider = Provider(OidcSettings(issuer=issuer.url, audience=AUDIENCE))
        token = issuer.token()
        with ThreadPoolExecutor(8) as threads:
            assert [found["sub"] for found in threads.map(lambda _: provider.verify(token), range(8))] == ["ada"] * 8
        assert len(issuer.asked) == 2, "the configuration and the keys, once"


@pytest.mark.parametrize(
    "address", ["http://keys.example/keys", "file:///etc/keys", "ftp://127.0.0.1/keys", "/keys", "https:///keys"]
)
def test_keys_are_asked_for_over_https_alone(address: str) -> None:
    with issuing() as issuer:
        issuer.document = lambda _: {"issuer": issuer.url, "jwks_uri": address}  # type: ignore[method-assign]
        provider = Provider(OidcSettings(issuer=issuer.url, audience=AUDIENCE))
        with pytest.raises(ProviderAwayError), capture_logs() as logs:
            provider.verify(issuer.token())
    assert [each["error"] for each in logs if each["event"] == "oidc_keys_not_read"] == [
        f"expected https:// as jwks_uri, got {address!r}"
    ]


def test_a_stream_ends_with_its_token(api: Api, issuer: Issuer) -> None:
    job_id = api.submit(tenant_id=Keys(api.engine).tenant("ending"))
    token = issuer.token(exp=int(time.time()) - 28, dermq_tenant="ending")  # which counts for two seconds more
    with api.client.stream("GET", f"/v1/jobs/{job_id}/events", headers=bearer(token)) as response:
        assert response.status_code == 200
        assert "queued" in "".join(response.iter_lines())
    assert status(api, token, f"/v1/jobs/{job_id}") == 401, "the stream ended with the token, not before"


def test_a_stream_ends_when_the_tokens_tenant_is_suspended(api: Api, issuer: Issuer) -> None:
    tenant_id = Keys(api.engine).tenant("streaming")
    job_id = api.submit(tenant_id=tenant_id)
    with api.client.stream(
        "GET", f"/v1/jobs/{job_id}/events", headers=bearer(issuer.token(dermq_tenant="streaming"))
    ) as stream:
        lines = stream.iter_lines()
        next(lines)
        with transaction(api.engine) as session:
            session.execute(update(Tenant).where(Tenant.id == tenant_id).values(suspended_at=api.clock.now()))
        assert "data" in "".join(lines)


def test_settings_that_would_let_others_in_are_refused() -> None:
    with pytest.raises(ValueError, match="expected https://"):
        OidcSettings(issuer="http://login.example/")
    with pytest.raises(ValueError, match="DERMQ_OIDC_AUDIENCE"):
        Provider(OidcSettings(issuer="https://login.example/"))
