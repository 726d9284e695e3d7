"""The table of published results: what lies in training/results is what the documentation says."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.servers import ROOT
from training.results import FOLDER, table


def write_result(folder: Path, name: str, accuracy: float) -> None:
    headline = {"accuracy": accuracy, "balanced_accuracy": accuracy / 2, "macro_auc": 0.9, "ece": 0.01}
    result = {"test": {"headline": headline, "interval_95": {"accuracy": [accuracy - 0.02, accuracy + 0.02]}}}
    (folder / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")


def row(folder: Path, experiment: str) -> list[str]:
    return next(line for line in table(folder).splitlines() if f"`{experiment}`" in line).strip("| ").split(" | ")


def test_the_documentation_holds_the_table() -> None:
    documented = (ROOT / "docs" / "models" / "published.md").read_text(encoding="utf-8")
    assert table() in documented
    assert len(table().splitlines()) > 2


def test_one_run_is_told_with_its_interval(tmp_path: Path) -> None:
    write_result(tmp_path, "lstm-published", 0.71)
    assert row(tmp_path, "lstm")[1:4] == ["70.99 %", "71.00 % (69.0 to 73.0)", "not run"]


def test_several_seeds_are_told_one_by_one_and_the_middle_one_in_full(tmp_path: Path) -> None:
    write_result(tmp_path, "lstm-published", 0.75)
    for seed, accuracy in ((1, 0.70), (2, 0.60), (3, 0.72)):
        write_result(tmp_path, f"lstm-grouped-seed{seed}" if seed > 1 else "lstm-grouped", accuracy)
    write_result(tmp_path, "lstm-grouped-deduplicated", 0.99)  # another question, not another seed
    assert row(tmp_path, "lstm")[3:5] == ["60.00, 70.00, 72.00 % (3 seeds)", "35.0 %"]


def test_every_result_file_is_of_a_known_experiment_and_says_what_it_was_made_with() -> None:
    for path in FOLDER.glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        assert path.stem.startswith(f"{result['experiment']}-{result['split'].partition(',')[0]}"), path.name
        assert result["git_commit"], path.name
        assert result["versions"], path.name
