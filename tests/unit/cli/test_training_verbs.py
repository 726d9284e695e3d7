"""The training verbs hand on every argument, keep the training module's exit status, and say what is missing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from cli.commands import training as verbs
from cli.main import app
from cli.output.exit_codes import CliError, ExitCode
from training.answers import answer, working
from training.experiments.registry import EXPERIMENTS
from training.train import list_experiments


def test_train_lists_the_experiments_without_tensorflow() -> None:
    code = "import sys, cli.main as m; sys.argv = ['dermq', 'train', '--list']\ntry: m.main()\nexcept SystemExit: pass\n"
    code += "print({'tensorflow', 'keras'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *table, modules = done.stdout.splitlines()
    assert "\n".join(table).strip() == list_experiments().strip()
    assert modules == "set()"


@pytest.mark.parametrize("verb", ["train", "evaluate", "calibrate", "export", "data report"])
def test_json_is_an_option_of_every_verb(verb: str) -> None:
    assert "--json" in CliRunner().invoke(app, [*verb.split(), "--help"]).output


def test_the_list_of_experiments_as_json() -> None:
    found = json.loads(CliRunner().invoke(app, ["train", "--list", "--json"]).output)
    assert [each["id"] for each in found] == list(EXPERIMENTS)
    assert all(each["height"] > 0 and each["epochs"] > 0 and each["title"] for each in found)


def test_what_work_prints_goes_to_stderr_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        with working(as_json=as_json):
            sys.stdout.write("epoch 1\n")
        answer("run: a", {"path": "a"}, as_json=as_json)
    out, err = capsys.readouterr()
    assert (out, err) == ('epoch 1\nrun: a\n{"path": "a"}\n', "epoch 1\n")


@pytest.mark.parametrize("verb", ["train", "evaluate", "calibrate", "export", "data report"])
def test_help_is_the_training_modules_own_under_the_verbs_name(verb: str) -> None:
    output = CliRunner().invoke(app, [*verb.split(), "--help"])
    assert output.exit_code == 0
    assert output.output.startswith(f"usage: dermq {verb}")


def test_what_cannot_be_carried_out_ends_with_the_code_of_usage() -> None:
    assert CliRunner().invoke(app, ["train", "nonsense"]).exit_code == ExitCode.USAGE
    assert CliRunner().invoke(app, ["calibrate", "no/such/run"]).exit_code == ExitCode.USAGE
    assert CliRunner().invoke(app, ["export", "a-run"]).exit_code == ExitCode.USAGE  # --model is missing


def test_a_missing_package_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'keras.saving'", name="keras.saving")

    monkeypatch.setattr(verbs, "import_module", absent)
    result = CliRunner().invoke(app, ["export", "run", "--model", "m"])
    assert isinstance(result.exception, CliError)
    assert "keras" in str(result.exception)
    assert "dermq[training]" in result.exception.hint


def test_a_missing_module_of_our_own_is_a_fault_not_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError("No module named 'training.nothing'", name="training.nothing")

    monkeypatch.setattr(verbs, "import_module", absent)
    assert isinstance(CliRunner().invoke(app, ["train"]).exception, ModuleNotFoundError)
