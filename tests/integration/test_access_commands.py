"""`dermq tenants`, `dermq keys`, `dermq audit` as an operator types them, on a ledger of their own."""

from __future__ import annotations

import json
import socket
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from cli.main import main
from core.access.scopes import Scope
from core.clock import ManualClock, SystemClock
from core.db.access.audit import list_audit
from core.db.access.keys import caller_of, find_key
from core.db.engine import open_engine, reading
from core.db.models import Job, Result, Tombstone
from core.db.schema.migrate import upgrade
from core.settings import DatabaseSettings
from core.storage.local import LocalStorage
from tests.support.ledger import Ledger
from tests.unit.cli.in_process import Done, Run


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = open_engine(url, DatabaseSettings())
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture
def run(ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("DERMQ_DATABASE_URL", ledger_url)
    monkeypatch.setenv("DERMQ_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")

    def run_command(*arguments: str) -> Done:
        capfd.readouterr()
        monkeypatch.setattr("sys.argv", ["dermq", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capfd.readouterr())

    return run_command


def test_purge_removes_ended_jobs_and_says_what_went(run: Run, ledger_url: str, tmp_path: Path) -> None:
    engine = open_engine(ledger_url, DatabaseSettings())
    ledger = Ledger(engine, clock=ManualClock(SystemClock().now() - timedelta(days=10)))
    storage = LocalStorage(tmp_path / "data" / "objects")
    done = ledger.start(items=8)
    while (claim := ledger.claim_next()) is not None:
        ledger.finish(claim)
    running = ledger.start(items=8)
    for key in (f"jobs/{done}/index", f"jobs/{running}/index"):
        with storage.writer(key) as writer:
            writer.write(b"index")
            writer.commit()
    assert json.loads(run("purge", "--older-than", "30", "--json").stdout)["jobs"] == 0
    counts = json.loads(run("purge", "--older-than", "5", "--dry-run", "--json").stdout)
    assert counts == {"jobs": 1, "items": 8, "dry_run": True}
    assert (
        run("purge", "--older-than", "5", "--by", "ada").stdout == "1 jobs are gone, with 8 items and 1 objects of 5 bytes.\n"
    )
    assert [info.key for info in storage.list("")] == [f"jobs/{running}/index"]
    with reading(engine) as session:
        kept = [session.get(Job, job_id) is not None for job_id in (done, running)]
        rows = session.scalar(select(func.count()).select_from(Result))
        left = session.scalar(select(func.count()).select_from(Tombstone))
        events = [(each.action, each.actor, each.detail) for each in list_audit(session)][-2:]
    engine.dispose()
    assert (kept, rows, left) == ([False, True], 0, 0)
    assert events[0] == ("job.delete", "ada", {"succeeded": 8, "failed": 0, "objects": 1})
    assert events[1] == ("jobs.purge", "ada", {"jobs": 1, "items": 8, "objects": 1, "bytes": 5})
    assert run("purge", "--older-than", "0", "--job", "nonsense").returncode != 0


def no_such_name(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_webhooks_from_their_making_to_their_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERMQ_EGRESS_NETWORKS", "127.0.0.0/8")
    made = run("webhooks", "create", "http://127.0.0.1:9/dermq", "--event", "job.failed")
    secret = made.stdout.strip()
    assert secret.startswith("whsec_")
    [found] = json.loads(run("webhooks", "list", "--json").stdout)
    assert (found["url"], found["events"], found["state"]) == ("http://127.0.0.1:9/dermq", ["job.failed"], "active")
    assert found["id"] in run("webhooks", "list").stdout
    rotated = json.loads(run("webhooks", "rotate", found["id"], "--json").stdout)
    assert rotated["secret"] not in ("", secret)
    assert run("webhooks", "deliveries", found["id"], "--json").stdout == "[]\n"
    assert "message" in run("webhooks", "deliveries", found["id"]).stdout
    unknown = run("webhooks", "replay", found["id"], "00000000-0000-0000-0000-000000000001")
    assert (unknown.returncode != 0, "has no message" in unknown.stderr) == (True, True)
    assert run("webhooks", "create", "https://10.0.0.1/").returncode != 0
    with monkeypatch.context() as patched:
        patched.setattr("socket.getaddrinfo", no_such_name)
        unresolved = run("webhooks", "create", "https://hooks.example/")
    assert "the host of 'https://hooks.example/' cannot be looked up" in unresolved.stderr
    assert (unresolved.returncode != 0, "Traceback" in unresolved.stderr) == (True, False)
    assert run("webhooks", "create", "http://127.0.0.1:9/", "--event", "x").returncode != 0
    assert run("webhooks", "delete", "nonsense").returncode != 0
    assert run("webhooks", "delete", found["id"]).returncode == 0
    assert run("webhooks", "list", "--json").stdout == "[]\n"


def scopes_of(url: str, token: str) -> frozenset[Scope] | None:
    engine = open_engine(url, DatabaseSettings())
    with reading(engine) as session:
        key = find_key(session, token, SystemClock().now())
    engine.dispose()
    return key and caller_of(key).scopes


def test_a_key_is_printed_once_and_works_until_it_is_revoked(run: Run, ledger_url: str) -> None:
    assert run("tenants", "create", "north", "--max-jobs", "5").stdout == "Tenant north is made.\n"
    made = run("keys", "create", "ward 3", "--tenant", "north", "--scope", "read", "--by", "ada")
    token = made.stdout.strip()
    assert scopes_of(ledger_url, token) == {Scope.READ}
    assert token not in made.stderr
    listed = run("keys", "list", "--json").stdout
    assert token not in listed
    [key] = json.loads(listed)
    assert (key["tenant"], key["name"], key["scopes"], key["state"]) == ("north", "ward 3", ["read"], "active")
    assert token.startswith(key["hint"])
    rotated = run("keys", "rotate", key["id"]).stdout.strip()
    assert scopes_of(ledger_url, token) is None
    assert scopes_of(ledger_url, rotated) == {Scope.READ}
    new = json.loads(run("keys", "list", "--json", "--tenant", "north").stdout)[1]
    assert run("keys", "revoke", new["id"]).returncode == 0
    assert scopes_of(ledger_url, rotated) is None
    events = [json.loads(line) for line in run("audit").stdout.splitlines()]
    assert [each["action"] for each in events] == ["tenant.create", "key.create", "key.rotate", "key.revoke"]
    assert events[1]["actor"] == "ada"
    assert len(run("audit", "--tenant", "default").stdout) == 0


def test_the_first_key_is_made_only_where_none_works(run: Run, ledger_url: str) -> None:
    first = run("keys", "create", "first", "--first", "--scope", "admin")
    assert scopes_of(ledger_url, first.stdout.strip()) == {Scope.ADMIN}
    again = run("keys", "create", "first", "--first", "--scope", "admin")
    assert (again.returncode, again.stdout) == (0, "")
    assert "There is a key already" in again.stderr


def test_what_cannot_be_done_is_said(run: Run) -> None:
    unknown = run("keys", "create", "x", "--tenant", "nobody")
    assert (unknown.returncode, unknown.stdout) == (4, "")
    assert "no tenant 'nobody'" in unknown.stderr
    assert run("keys", "create", "x", "--scope", "write").returncode == 2
    run("tenants", "create", "north")
    assert run("tenants", "create", "north").returncode == 5
    assert run("tenants", "limit", "north", "--max-items", "9", "--weight", "3").returncode == 0
    assert run("tenants", "suspend", "north").stdout == "Tenant north is suspended: its keys do not work.\n"
    listed = {each["name"]: each for each in json.loads(run("tenants", "list", "--json").stdout)}
    assert (listed["north"]["state"], listed["north"]["max_items"], listed["north"]["weight"]) == ("suspended", 9, 3)
    assert run("tenants", "resume", "north").returncode == 0
    assert run("tenants", "delete", "north").returncode == 0
    assert run("tenants", "delete", "default").returncode == 5


def test_a_key_that_is_given_in_the_place_of_its_id_is_not_repeated(run: Run) -> None:
    token = run("keys", "create", "x").stdout.strip()
    refused = run("keys", "revoke", token)
    assert refused.returncode == 4
    assert token not in refused.stderr
