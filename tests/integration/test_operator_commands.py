"""`dermq models add|verify|unlabel`, `promote`, `rollback`, `retire` as an operator types them, against a real server."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from cli.main import main
from core.db.engine import reading
from core.db.versions import list_events
from serving.lifecycle.golden import golden_path
from serving.repository import ModelRepository
from tests.support.rollouts import BROKEN, SWAPPED, Served, make_repository, save_golden, served
from tests.support.tiny_model import export_tiny_model, tiny_spec


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture(scope="module", autouse=True)
def _silence() -> Iterator[None]:
    """The server in this process logs: into nothing, not into the commands' output."""
    structlog.configure(processors=[_drop], logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


def _drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    make_repository(root)
    return root


@pytest.fixture
def here(tmp_path: Path, models: Path) -> Iterator[Served]:
    shutil.copytree(models, tmp_path / "models")
    with served(tmp_path, tmp_path / "models") as running:
        yield running


@pytest.fixture
def run(here: Served, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs `dermq …` in this process, with the settings that an operator of a container would have."""
    settings = {
        "DERMQ_MODELS_DIR": here.root,
        "DERMQ_MODELS_CONFIG": here.config_path,
        "DERMQ_SERVING_ADDRESS": here.client.address,
        "DERMQ_DATABASE_URL": here.engine.url.render_as_string(),
        "DERMQ_DATA_DIR": here.root.parent / "data",
        "COLUMNS": 150,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run_command(*arguments: str) -> Done:
        capfdbinary.readouterr()
        monkeypatch.setattr("sys.argv", ["dermq", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfdbinary.readouterr()
        return Done(ended.value.code if isinstance(ended.value.code, int) else 0, out.decode(), err.decode())

    return run_command


def test_promote_and_rollback(run: Run, here: Served) -> None:
    done = run("promote", "tiny", "2", "--by", "ada")
    assert (done.code, "tiny stable is version 2, was version 1 (golden batch of 8" in done.out) == (0, True), done
    assert here.client.describe("tiny", label="stable").version == 2
    moved = json.loads(run("rollback", "tiny", "--json").out)
    assert (moved["version"], moved["previous"]) == (1, 2)
    with reading(here.engine) as session:
        later, first = list_events(session, "tiny")
    assert first.actor == "ada"
    assert "@" in later.actor


def test_a_canary_is_put_on_and_taken_off(run: Run, here: Served) -> None:
    assert "tiny canary is version 3 (" in run("promote", "tiny", "3", "--label", "canary").out
    assert "tiny has no label 'canary' any more, was version 3" in run("models", "unlabel", "tiny", "canary").out
    assert "tiny version 3 is retired" in run("retire", "tiny", "3").out
    assert here.states()[3] == "END"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("promote", "tiny", "9"), 4, "no version 9"),
        (("promote", "tiny", str(BROKEN)), 1, f"cannot load tiny version {BROKEN}"),
        (("promote", "tiny", str(SWAPPED)), 1, "golden batch differs"),
        (("retire", "tiny", "1"), 5, "bears 'stable'"),
        (("rollback", "tiny"), 5, "nobody has moved"),
        (("promote", "tiny", "2", "--serving", "127.0.0.1:1"), 3, "no model server answers"),
    ],
)
def test_refusals_have_a_reason_and_a_code(run: Run, here: Served, arguments: tuple[str, ...], code: int, words: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (code, "")
    assert words in " ".join(done.err.split())
    assert here.client.describe("tiny", label="stable").version == 1


def test_verify_asks_the_server_that_has_it_else_a_private_one(run: Run, here: Served) -> None:
    assert "tiny version 1 is sound; golden batch of 8 as recorded" in run("models", "verify", "tiny", "1").out
    golden_path(here.rollout.repository.version("tiny", 2)).unlink()
    report = json.loads(run("models", "verify", "tiny", "2", "--record", "--json").out)
    assert report["golden"] == {"images": 8, "largest_difference": 0.0}
    assert here.states() == {1: "AVAILABLE"}  # it was looked at elsewhere
    assert run("promote", "tiny", "2").code == 0


def test_add_publishes_what_has_proved_itself(run: Run, here: Served, tmp_path: Path) -> None:
    export = export_tiny_model(tmp_path / "export", 1, bias=2.0)
    done = run("models", "add", "tiny", str(export))
    number = SWAPPED + 1
    assert f"tiny version {number} is published. To serve it: dermq promote tiny {number}" in done.out
    assert run("promote", "tiny", str(number)).code == 0
    assert here.client.describe("tiny", label="stable").version == number


def test_add_refuses_what_cannot_be_loaded_and_leaves_nothing(run: Run, here: Served, tmp_path: Path) -> None:
    before = sorted(path.name for path in (here.root / "tiny").iterdir())
    done = run("models", "add", "tiny", str(here.root / "tiny" / str(BROKEN)))
    assert (done.code, "cannot be loaded" in done.err) == (1, True), done
    assert run("models", "add", "tiny", str(tmp_path)).code == 2
    assert sorted(path.name for path in (here.root / "tiny").iterdir()) == before
    with reading(here.engine) as session:
        assert {row.outcome for row in list_events(session, "tiny")} == {"refused"}


def measured(here: Served, number: int, balanced_accuracy: float) -> None:
    metrics = {"test_accuracy": 0.8, "test_majority_accuracy": 0.6, "test_balanced_accuracy": balanced_accuracy}
    spec = tiny_spec().model_copy(update={"metrics": metrics, "split": "grouped, seed 7"})
    export_tiny_model(here.root / "tiny", number, bias=0.0, spec_json=spec.model_dump_json())
    save_golden(ModelRepository(here.root), number, 0.0)


def test_a_worse_version_is_promoted_by_force_only(run: Run, here: Served) -> None:
    for number, figure in ((6, 0.7), (7, 0.5)):
        measured(here, number, figure)
    first = run("promote", "tiny", "6")
    assert (first.code, "To screen with it: dermq screen PATH --model tiny" in first.err) == (0, True), first
    refused = run("promote", "tiny", "7")
    assert refused.code == 5
    assert "its balanced accuracy is 0.500; that of the version it replaces is 0.700 on the same evaluation" in refused.err
    assert here.client.describe("tiny", label="stable").version == 6
    assert run("promote", "tiny", "7", "--label", "canary").code == 0
    forced = run("promote", "tiny", "7", "--force")
    assert (forced.code, "forced; its balanced accuracy is 0.500" in forced.out) == (0, True), forced
    unmeasured = run("promote", "tiny", "2")
    assert (unmeasured.code, "it carries no evaluation, and the version that it replaces carries one" in unmeasured.err) == (
        5,
        True,
    )
    with reading(here.engine) as session:
        outcomes = [(event.version, event.outcome) for event in reversed(list_events(session, "tiny"))]
    assert outcomes == [(6, "done"), (7, "refused"), (7, "done"), (7, "done"), (2, "refused")]
