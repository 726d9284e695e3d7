"""One run of schemathesis for one caller."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.access.scopes import Scope
from core.db.engine import transaction
from core.db.outcomes import ItemOutcome
from core.db.uploads.partial import begin_upload
from core.settings import ApiSettings, BrokerSettings
from tests.integration.api.conftest import Api, failed, make_settings, running_api, scored
from tests.support.keyed import Keys, bearer
from tests.support.servers import ROOT, free_port, running_broker

DOCUMENT = ROOT / "docs" / "reference" / "openapi.json"
PHASES = ("examples", "coverage", "fuzzing", "stateful")
# `no_server_error` stands for schemathesis' own check, which would not let the server say that Serving is away. Left out:
# `positive_data_acceptance` takes a job that does not exist for a fault, `negative_data_rejection` takes bodies that
# are sent as streams for parameters. `unsupported_method` asks for 405 where a missing key answers first.
CHECKS = (
    *("no_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "use_after_free", "ignored_auth", "no_foreign_row", "no_foreign_upload"),
)


@dataclass(frozen=True)
class Callers:
    """A server that asks for keys; a job of each of two tenants, with rows; an upload that is under way, and a key of each."""

    api: Api
    jobs: dict[str, uuid.UUID]
    uploads: dict[str, uuid.UUID]
    keys: dict[str, str]

    @property
    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Method, path and description of each operation of the document."""
        paths = json.loads(DOCUMENT.read_text())["paths"].items()
        return [(method, path, each) for path, operations in paths for method, each in operations.items()]

    def run(
        self, who: str, *, examples: int, seed: int = 1, phases: Sequence[str] = PHASES
    ) -> subprocess.CompletedProcess[str]:
        """Run schemathesis as `north`, `south` or `nobody`.

        Args:
            who: whose key is shown.
            examples: drawn for each operation in a phase.
            seed: of what is drawn.
            phases: of schemathesis.
        """
        others = [name for name in self.jobs if name != who]
        foreign = [*(str(self.jobs[name]) for name in others), *(f"row-of-{name}" for name in others)]
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "SCHEMATHESIS_HOOKS": "tests.fuzz.http.hooks",
            "DERMQ_TEST_FUZZ_JOBS": ",".join(map(str, self.jobs.values())),
            "DERMQ_TEST_FUZZ_FOREIGN": ",".join(foreign),
            "DERMQ_TEST_FUZZ_UPLOADS": ",".join(map(str, self.uploads.values())),
            "DERMQ_TEST_FUZZ_FOREIGN_UPLOADS": ",".join(str(self.uploads[name]) for name in others),
        }
        shown = [f"--header=Authorization: {bearer(self.keys[who])['Authorization']}"] if who in self.keys else []
        asked = [f"--max-examples={examples}", f"--seed={seed}", f"--phases={','.join(phases)}", f"--checks={','.join(CHECKS)}"]
        command = ["schemathesis", "run", str(DOCUMENT), f"--url={self.api.url}", *shown, *asked]
        quiet = ["--no-color", "--warnings=off", "--generation-database=none", "--suppress-health-check=all"]
        program = str(Path(sys.executable).parent / command[0])
        return subprocess.run(
            [program, *command[1:], *quiet],
            env=env,
            cwd=self.api.settings.data.data_dir,
            capture_output=True,
            text=True,
            check=False,
        )


@contextmanager
def running_callers(folder: Path) -> Iterator[Callers]:
    """The server, on SQLite, with a real broker, and without a model server, so that what needs one can say so."""
    (folder / "broker").mkdir()
    with running_broker("valkey", folder / "broker") as broker_url:
        settings = make_settings(
            folder,
            api=ApiSettings(port=free_port(), watch_interval_s=0, require_keys=True, classify_wait_s=0.1),
            broker=BrokerSettings(url=broker_url),
        )
        with running_api(settings) as api:
            keys = Keys(api.engine)
            shown = {"north": keys.make("north"), "south": keys.make("south", [*Scope])}
            jobs = {name: _job(api, keys, name) for name in shown}
            yield Callers(api, jobs, {name: _upload(api, keys, name) for name in shown}, shown)


def _upload(api: Api, keys: Keys, tenant: str) -> uuid.UUID:
    with transaction(api.engine) as session:
        return begin_upload(session, keys.tenant(tenant), 1000, "a.zip", api.clock.now()).id


def _job(api: Api, keys: Keys, tenant: str) -> uuid.UUID:
    name = f"row-of-{tenant}"

    def outcome(number: int) -> ItemOutcome:
        shown = f"{name}/{number}"
        return failed(number, name=shown) if number % 4 == 3 else scored(number, (0.1, 0.2, 0.3, 0.4), shown)

    return api.run(12, outcome, tenant_id=keys.tenant(tenant), name=f"{name}.zip")
