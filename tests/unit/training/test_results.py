"""The table of published results: what lies in training/results is what the documentation says."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from core.errors import InvalidRequestError
from tests.support.finished_run import finished_run
from tests.support.servers import ROOT
from training.resultplots import PAGE, STUDY, write_plots
from training.results import check, keep, predictions_path
from training.resulttable import FOLDER, measured_minutes, results, table
from training.train import list_experiments


def write_result(folder: Path, name: str, accuracy: float, log_loss: float | None = None, **more: Any) -> None:
    headline = {"accuracy": accuracy, "balanced_accuracy": accuracy / 2, "macro_auc": 0.9, "ece": 0.01, "log_loss": log_loss}
    result = more | {"test": {"headline": headline, "interval_95": {"accuracy": [accuracy - 0.02, accuracy + 0.02]}}}
    (folder / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")


def row(folder: Path, experiment: str) -> list[str]:
    line = next(line for line in table(folder).splitlines() if f"`{experiment}`" in line)
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_documentation_holds_the_table() -> None:
    documented = (ROOT / "docs" / "models" / "published.md").read_text(encoding="utf-8")
    assert table() in documented
    assert len(table().splitlines()) > 2


def test_one_run_is_told_with_its_interval(tmp_path: Path) -> None:
    write_result(tmp_path, "lstm-published", 0.71)
    assert row(tmp_path, "lstm")[1:4] == ["70.99 %", "71.00 % (69.0 to 73.0)", ""]
    assert row(tmp_path, "lstm")[4:6] == ["not kept", "not run"]


def test_several_seeds_are_told_one_by_one_and_the_middle_one_in_full(tmp_path: Path) -> None:
    write_result(tmp_path, "lstm-published", 0.75)
    for seed, accuracy in ((1, 0.70), (2, 0.60), (3, 0.72)):
        write_result(tmp_path, f"lstm-grouped-seed{seed}" if seed > 1 else "lstm-grouped", accuracy)
    write_result(tmp_path, "lstm-grouped-deduplicated", 0.99)  # another question, not another seed
    assert row(tmp_path, "lstm")[5:7] == ["60.00, 70.00, 72.00 % (3 seeds)", "35.0 %"]


def test_the_best_epoch_on_the_watched_part_is_told_as_that(tmp_path: Path) -> None:
    more = {"validates_on_test": True, "epochs": 50, "validation_accuracy_last_epoch": 0.5}
    for experiment in ("cnn28-norm", "lstm"):  # the first keeps its best epoch, the second its last
        write_result(tmp_path, f"{experiment}-published", 0.71, **more)
    expected = "71.00 % (69.0 to 73.0), the best of 50 epochs on this watched part; the last epoch: 50.00 %"
    assert row(tmp_path, "cnn28-norm")[2] == expected
    assert row(tmp_path, "lstm")[2] == "71.00 % (69.0 to 73.0)"


def test_published_losses_stand_beside_ours(tmp_path: Path) -> None:
    write_result(tmp_path, "cnn75-published", 0.75, log_loss=0.6804)
    assert row(tmp_path, "cnn75")[3:5] == ["0.7023, 0.7233", "0.6804"]


def test_minutes_are_the_longest_that_were_measured(tmp_path: Path) -> None:
    for kind, minutes in (("published", 7.5), ("grouped", 18.4)):
        write_result(tmp_path, f"lstm-{kind}", 0.7, experiment="lstm", minutes=minutes)
    assert measured_minutes("lstm", tmp_path) == 18.4
    assert measured_minutes("cnn75", tmp_path) is None
    line = next(line for line in list_experiments().splitlines() if line.startswith("cnn75 "))
    assert line.split()[4] == "70"


def test_kept_figures_come_from_the_kept_predictions(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "lstm-grouped", signal=0.2, history={"loss": [1.5, 1.0], "val_accuracy": [0.5, 0.6]})
    kept = keep(run, tmp_path / "results")
    first = predictions_path(kept).read_bytes()
    assert check("lstm-grouped", tmp_path / "results") == []
    assert json.loads(kept.read_text(encoding="utf-8"))["history"]["val_accuracy"] == [0.5, 0.6]
    keep(run, tmp_path / "results")
    assert predictions_path(kept).read_bytes() == first  # no time and no name in it
    assert gzip.decompress(first).decode().splitlines()[0] == "part,id,group,label,p_mel,p_nv"


def test_a_figure_that_the_predictions_do_not_give_is_named(tmp_path: Path) -> None:
    kept = keep(finished_run(tmp_path / "lstm-grouped", signal=0.2), tmp_path / "results")
    result = json.loads(kept.read_text(encoding="utf-8"))
    before, result["test"]["headline"]["accuracy"] = result["test"]["headline"]["accuracy"], 0.9999
    kept.write_text(json.dumps(result), encoding="utf-8")
    assert check("lstm-grouped", tmp_path / "results") == [f"test.headline.accuracy: kept 0.9999, again {before}"]
    predictions_path(kept).unlink()
    with pytest.raises(InvalidRequestError, match="keep the run again"):
        check("lstm-grouped", tmp_path / "results")
    with pytest.raises(InvalidRequestError, match="no-such"):
        check("no-such", tmp_path / "results")


@pytest.mark.parametrize("name", [path.name.removesuffix(".csv.gz") for path in sorted(FOLDER.glob("*.csv.gz"))])
def test_committed_figures_are_those_of_the_committed_predictions(name: str) -> None:
    assert check(name) == []


def test_the_plots_of_the_documentation_are_those_of_the_results() -> None:
    page = PAGE.read_text(encoding="utf-8")
    expected = {f"plots/{path.name.removesuffix('.csv.gz')}-screening.svg" for path in FOLDER.glob("*.csv.gz")}
    expected |= {"plots/over-fitting.svg"} if set(STUDY.values()) <= set(results()) else set()
    expected |= {f"plots/{name}-training.svg" for name, result in results().items() if result.get("history")}
    assert set(re.findall(r"\((plots/[^)]+)\)", page)) == expected
    assert {f"plots/{path.name}" for path in (PAGE.parent / "plots").glob("*.svg")} == expected


def test_plots_are_drawn_from_what_was_kept(tmp_path: Path) -> None:
    history = {"loss": [1.5, 1.0], "val_loss": [1.6, 1.3], "recall": [0.1, 0.2], "val_recall": [0.1, 0.1]}
    keep(finished_run(tmp_path / "lstm-grouped", signal=0.2, history=history), tmp_path / "results")
    drawn = write_plots(tmp_path / "docs" / "plots.md", tmp_path / "results")
    assert [path.name for path in drawn] == ["lstm-grouped-training.svg", "lstm-grouped-screening.svg"]
    assert ">recall</text>" in drawn[0].read_text(encoding="utf-8")
    assert "malignant: decision curve" in drawn[1].read_text(encoding="utf-8")
    first = [path.read_bytes() for path in drawn]
    assert [path.read_bytes() for path in write_plots(tmp_path / "docs" / "plots.md", tmp_path / "results")] == first


def test_every_result_file_is_of_a_known_experiment_and_says_what_it_was_made_with() -> None:
    for path in FOLDER.glob("*.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        assert path.stem.startswith(f"{result['experiment']}-{result['split'].partition(',')[0]}"), path.name
        assert result["git_commit"], path.name
        assert result["versions"], path.name
