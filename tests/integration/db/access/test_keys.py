"""Tenants, keys and the audit in the ledger, on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, select, text

from core.access.callers import Caller, local_caller
from core.access.scopes import Scope
from core.access.tokens import digest
from core.clock import ManualClock
from core.db.access.audit import list_audit
from core.db.access.keys import (
    MadeKey,
    NewKey,
    caller_of,
    create_key,
    find_key,
    get_key,
    has_usable_key,
    is_use_to_note,
    list_keys,
    note_use,
    revoke_key,
    rotate_key,
)
from core.db.access.tenants import (
    Quotas,
    create_tenant,
    delete_tenant,
    find_tenant,
    limit_tenant,
    list_tenants,
    resume_tenant,
    suspend_tenant,
)
from core.db.engine import reading, transaction
from core.db.models import LOCAL_TENANT_ID
from core.db.tombstones import list_due
from core.db.uploads.partial import begin_upload
from core.db.uploads.tables import PartialUpload
from core.errors import ConflictError, InvalidRequestError, NotFoundError
from core.storage.layout import upload_prefix
from tests.support.ledger import Ledger

ADA = local_caller(LOCAL_TENANT_ID, "ada@host")
READ = frozenset({Scope.READ})


class Keyring:
    """Keys of a ledger whose clock is moved by hand."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clock = ManualClock()

    def make(self, tenant: str = "default", **changes: Any) -> MadeKey:
        with transaction(self.engine) as session:
            fields = {"tenant_id": find_tenant(session, tenant).id, "name": "ward 3", "scopes": READ, **changes}
            return create_key(session, ADA, NewKey(**fields), self.clock.now())

    def find(self, token: str) -> Caller | None:
        with reading(self.engine) as session:
            key = find_key(session, token, self.clock.now())
            return key and caller_of(key)

    def usable(self) -> bool:
        with reading(self.engine) as session:
            return has_usable_key(session, self.clock.now())

    def tenant(self, name: str, **quotas: Any) -> None:
        with transaction(self.engine) as session:
            create_tenant(session, ADA, name, self.clock.now(), quotas=Quotas(**quotas))


@pytest.fixture
def ring(engine: Engine) -> Keyring:
    return Keyring(engine)


def test_a_key_leads_to_its_tenant_and_scopes(ring: Keyring) -> None:
    ring.tenant("north")
    assert not ring.usable()
    made = ring.make("north")
    found = ring.find(made.token)
    assert found == Caller(made.key.tenant_id, READ, "ward 3", made.key.id)
    assert found.tenant_id != LOCAL_TENANT_ID
    assert ring.usable()
    assert ring.find(ring.make().token) != found


def test_only_the_hash_of_a_key_is_stored(ring: Keyring, engine: Engine) -> None:
    made = ring.make()
    with engine.connect() as connection:
        tables = ("api_keys", "audit_events", "tenants")
        stored = "".join(str(tuple(row)) for table in tables for row in connection.execute(text(f"SELECT * FROM {table}")))  # noqa: S608
    assert made.token not in stored
    assert made.token[12:] not in stored
    assert digest(made.token) in stored
    assert made.token not in repr(made)


def test_a_revoked_an_expired_and_an_unknown_key_are_nobody(ring: Keyring, engine: Engine) -> None:
    other = Keyring(engine).make(expires_at=ring.clock.now() + timedelta(days=1))
    made = ring.make()
    with transaction(engine) as session:
        revoke_key(session, ADA, get_key(session, str(made.key.id)), ring.clock.now())
    assert ring.find(made.token) is None
    assert ring.find(other.token) is not None
    ring.clock.advance(86_400)
    assert ring.find(other.token) is None
    assert ring.find("dq_live_x") is None
    assert not ring.usable()


def test_a_suspended_tenants_keys_do_not_work_until_it_is_resumed(ring: Keyring, engine: Engine) -> None:
    ring.tenant("north")
    made = ring.make("north")
    with transaction(engine) as session:
        suspend_tenant(session, ADA, find_tenant(session, "north"), ring.clock.now())
    assert ring.find(made.token) is None
    assert not ring.usable()
    with transaction(engine) as session:
        resume_tenant(session, ADA, find_tenant(session, "north"), ring.clock.now())
    assert ring.find(made.token) is not None


def test_rotating_ends_the_old_key_at_once_or_after_an_overlap(ring: Keyring, engine: Engine) -> None:
    first = ring.make(expires_at=ring.clock.now() + timedelta(days=10))
    ring.clock.advance(86_400)
    with transaction(engine) as session:
        old = get_key(session, str(first.key.id))
        second = rotate_key(session, ADA, old, ring.clock.now(), overlap=timedelta(hours=1))
    assert (second.key.name, second.key.scopes, second.key.tenant_id) == ("ward 3", ["read"], LOCAL_TENANT_ID)
    assert second.key.expires_at == ring.clock.now() + timedelta(days=10)
    assert ring.find(first.token) is not None
    ring.clock.advance(3600)
    assert ring.find(first.token) is None
    with transaction(engine) as session:
        third = rotate_key(session, ADA, get_key(session, str(second.key.id)), ring.clock.now())
    assert ring.find(second.token) is None
    assert ring.find(third.token) is not None
    with transaction(engine) as session, pytest.raises(NotFoundError, match="does not work any more"):
        rotate_key(session, ADA, get_key(session, str(first.key.id)), ring.clock.now())


def test_the_last_use_is_written_once_a_minute(ring: Keyring, engine: Engine) -> None:
    made = ring.make()
    written = []
    for _ in range(5):
        with transaction(engine) as session:
            written.append(is_use_to_note(get_key(session, str(made.key.id)), ring.clock.now()))
            if written[-1]:
                note_use(session, made.key.id, ring.clock.now())
        ring.clock.advance(25)
    assert written == [True, False, False, True, False]
    with reading(engine) as session:
        [(key, tenant)] = list_keys(session)
        assert (key.last_used_at, tenant) == (ring.clock.now() - timedelta(seconds=50), "default")


@pytest.mark.parametrize("name", ["", "North", "a b", "-a", "a" * 64, "ä"])
def test_a_tenants_name_is_plain(ring: Keyring, name: str) -> None:
    with pytest.raises(InvalidRequestError, match="lower-case letters"):
        ring.tenant(name)


def test_names_of_tenants_are_unique_and_quotas_are_kept(ring: Keyring, engine: Engine) -> None:
    ring.tenant("north", max_jobs=3, max_bytes=10**12)
    with pytest.raises(ConflictError, match="north"):
        ring.tenant("north")
    with transaction(engine) as session:
        limit_tenant(
            session, ADA, find_tenant(session, "north"), {"max_jobs": None, "max_items": 7, "weight": 2}, ring.clock.now()
        )
    with reading(engine) as session:
        assert [each.name for each in list_tenants(session)] == ["default", "north"]
        north = find_tenant(session, "north")
        assert (north.max_jobs, north.max_items, north.max_bytes, north.weight) == (None, 7, 10**12, 2)
    with transaction(engine) as session, pytest.raises(InvalidRequestError, match="max_items is -1"):
        limit_tenant(session, ADA, find_tenant(session, "north"), {"max_items": -1}, ring.clock.now())


def test_a_tenant_with_jobs_is_not_deleted(ring: Keyring, engine: Engine) -> None:
    ring.tenant("north")
    ring.tenant("south")
    made = ring.make("north")
    Ledger(engine).submit(tenant_id=ring.make("south").key.tenant_id)
    with transaction(engine) as session:
        for name, reason in (("default", "built in"), ("south", "still has jobs")):
            with pytest.raises(ConflictError, match=reason):
                delete_tenant(session, ADA, find_tenant(session, name), ring.clock.now())
        delete_tenant(session, ADA, find_tenant(session, "north"), ring.clock.now())
    assert ring.find(made.token) is None
    with reading(engine) as session, pytest.raises(NotFoundError, match="north"):
        find_tenant(session, "north")


def test_uploads_in_parts_end_with_their_tenant(ring: Keyring, engine: Engine) -> None:
    ring.tenant("north")
    now, made = ring.clock.now(), ring.make("north")
    with transaction(engine) as session:
        coming = begin_upload(session, made.key.tenant_id, 100, "a.zip", now)
        kept = begin_upload(session, LOCAL_TENANT_ID, 100, "b.zip", now)
    with transaction(engine) as session:
        delete_tenant(session, ADA, find_tenant(session, "north"), now)
    with reading(engine) as session:
        assert list_due(session, now, 10) == [upload_prefix(coming.id)]
        assert session.scalars(select(PartialUpload.id)).all() == [kept.id]


def test_the_audit_says_who_did_what_in_order(ring: Keyring, engine: Engine) -> None:
    ring.tenant("north")
    made = ring.make("north")
    bob = Caller(LOCAL_TENANT_ID, READ, "bob", ring.make().key.id)
    with transaction(engine) as session:
        key = get_key(session, str(made.key.id))
        revoke_key(session, bob, key, ring.clock.now())
        revoke_key(session, bob, key, ring.clock.now())  # changes nothing, and is not recorded
    with reading(engine) as session:
        events = list_audit(session)
        assert [(each.actor, each.action) for each in events] == [
            *(("ada@host", "tenant.create"), ("ada@host", "key.create"), ("ada@host", "key.create"), ("bob", "key.revoke")),
        ]
        assert (events[3].key_id, events[3].object_id) == (bob.key_id, str(made.key.id))
        assert [each.id for each in list_audit(session, tenant_id=made.key.tenant_id, after=events[0].id)] == [
            *(events[1].id, events[3].id),
        ]
