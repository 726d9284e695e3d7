"""From a run to a published model version: calibrate on validation, choose thresholds, write, rename into place.

    python -m training.export data/runs/starter-grouped --model starter --root serving/models

The version is written beside its place and published by one rename, so a server that watches the folder never sees half a
model. Beside the SavedModel, in `assets.extra/`: the split, the spec and the evaluation.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from core.errors import ConflictError, DermqError
from core.modelspec import ModelSpec
from training import metrics
from training.calibrate import apply_temperature, fit_temperature
from training.card import render_card
from training.datasets.base import FloatArray
from training.runs import Predictions, RunFolder, RunRecord

DEFAULT_ROOT = Path("serving/models")
SENSITIVITIES = (0.90, 0.95)
OPERATING_POINT = "sensitivity_90"


def export_run(run: RunFolder, *, model: str, root: Path = DEFAULT_ROOT, version: int | None = None) -> Path:
    """Publishes a run as `root/model/version` and returns that folder.

    Args:
        run: a finished run.
        model: the name to serve it under.
        root: the model repository.
        version: by default one more than the highest there is.

    Raises:
        ConflictError: the version is there already.
        InvalidRequestError: the folder holds no run.
    """
    base = root / model
    target = base / str(version or next_version(base))
    if target.exists():
        raise ConflictError(f"{target}: this version is published already; versions never change, export the next one")
    spec, evaluation = describe_run(run, model)
    base.mkdir(parents=True, exist_ok=True)
    partial = base / f".{target.name}.{os.getpid()}.part"
    _write(run, spec, evaluation, partial)
    partial.rename(target)
    return target


def next_version(base: Path) -> int:
    """One more than the highest version below a model's folder; 1 where there is none."""
    taken = [int(path.name) for path in base.iterdir() if path.name.isdecimal()] if base.is_dir() else []
    return max(taken, default=0) + 1


def describe_run(run: RunFolder, model: str) -> tuple[ModelSpec, dict[str, object]]:
    """The spec of a run and the evaluation of its test part. Temperature and thresholds come from validation alone."""
    record = run.record()
    held_out, test = run.predictions("validation"), run.predictions("test")
    malignant = tuple(record.classes.index(name) for name in record.malignant)
    temperature = round(fit_temperature(held_out.labels, held_out.probabilities), 4)
    thresholds = choose_thresholds(held_out, temperature, malignant)
    calibrated = apply_temperature(test.probabilities, temperature)
    figures = metrics.headline(test.labels, calibrated, malignant)
    return _spec(record, model, temperature, thresholds, figures), _evaluation(record, test, calibrated, figures, thresholds)


def choose_thresholds(held_out: Predictions, temperature: float, malignant: tuple[int, ...]) -> dict[str, float]:
    """For each of `SENSITIVITIES` the highest risk that flags this share of the malignant validation images."""
    risks = metrics.risk(apply_temperature(held_out.probabilities, temperature), malignant)
    is_malignant = np.isin(held_out.labels, malignant)
    # Rounded down, so that the image that set the threshold is still flagged.
    return {
        f"sensitivity_{round(share * 100)}": float(
            np.floor(metrics.threshold_for_sensitivity(is_malignant, risks, share) * 1e6) / 1e6
        )
        for share in SENSITIVITIES
    }


def _spec(
    record: RunRecord, model: str, temperature: float, thresholds: dict[str, float], figures: dict[str, float]
) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": model,
            "classes": record.classes,
            "input_height": record.height,
            "input_width": record.width,
            "resize": record.resize,
            "malignant": record.malignant,
            "thresholds": thresholds,
            "operating_point": OPERATING_POINT,
            "temperature": temperature,
            "dataset": record.dataset,
            "split": record.split,
            "metrics": {f"test_{name}": round(value, 4) for name, value in figures.items()},
            "git_commit": record.git_commit,
            "preprocessing_hash": record.preprocessing_hash,
            "licence": record.licence,
        }
    )


def _evaluation(
    record: RunRecord,
    test: Predictions,
    calibrated: FloatArray,
    figures: dict[str, float],
    thresholds: dict[str, float],
) -> dict[str, object]:
    malignant = tuple(record.classes.index(name) for name in record.malignant)
    is_malignant, risks = np.isin(test.labels, malignant), metrics.risk(calibrated, malignant)
    by_class = dict(zip(record.classes, metrics.recalls(test.labels, calibrated), strict=True))
    aucs = dict(zip(record.classes, metrics.class_aucs(test.labels, calibrated), strict=True))
    return {
        "part": "test",
        "images": len(test.labels),
        "headline": figures,
        "recall": {name: float(value) for name, value in by_class.items()},
        "auc": {name: float(value) for name, value in aucs.items()},
        "operating_points": {name: metrics.operating_point(is_malignant, risks, value) for name, value in thresholds.items()},
        "confusion": metrics.confusion_matrix(test.labels, calibrated.argmax(axis=1), len(record.classes)).tolist(),
        "ece_uncalibrated": metrics.expected_calibration_error(test.labels, test.probabilities),
    }


def _write(run: RunFolder, spec: ModelSpec, evaluation: dict[str, object], directory: Path) -> None:
    keras = import_module("keras")  # only a process that exports pays for TensorFlow
    savedmodel = import_module("training.savedmodel")
    if directory.exists():
        shutil.rmtree(directory)
    savedmodel.write_saved_model(keras.models.load_model(run.model_path, compile=False), spec, directory)
    extra = directory / "assets.extra"
    extra.mkdir()
    run.split().save(extra / "split.json")
    (extra / "spec.json").write_text(spec.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (directory / "README.md").write_text(render_card(run.record(), spec, evaluation), encoding="utf-8")
    (extra / "evaluation.json").write_text(json.dumps(evaluation, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """`python -m training.export RUN --model NAME`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog="python -m training.export", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT)
    parser.add_argument("--version", type=int, default=None)
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        target = export_run(RunFolder(chosen.run), model=chosen.model, root=chosen.root, version=chosen.version)
    except DermqError as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    print(f"published: {target}")
    print((target / "README.md").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
