"""From a run to a published model version: calibrate on validation, choose thresholds, write, rename into place.

    python -m training.export data/runs/starter-grouped --model starter --root serving/models

The version is written beside its place and published by one rename, so a server that watches the folder never sees half a
model. In `assets.extra/` lie the split, the spec, the evaluation, the warm-up requests and the golden batch.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import serving
from core.errors import ConflictError, DermqError, InvalidRequestError
from core.evaluation.figures import to_json
from core.imaging import preprocessing_hash
from core.modelspec import ModelSpec
from training.answers import add_json_option, answer, working
from training.calibrate import OPERATING_POINT, Calibration, calibrate_run
from training.card import render_card
from training.evaluate import evaluate
from training.golden import write_golden
from training.metadata import MetadataEncoder
from training.novelty import BEST, CHOICES, NONE
from training.reference import make_reference
from training.runs import RunFolder, RunRecord
from training.warmup import BATCH_SIZES, WARM_UP_NAME, write_warm_up

DEFAULT_ROOT = Path("serving/models")


def export_run(
    run: RunFolder,
    *,
    model: str,
    root: Path = DEFAULT_ROOT,
    version: int | None = None,
    tta: bool = False,
    novelty: str = BEST,
    explain: bool = True,
    data: Path | None = None,
) -> Path:
    """Publishes a run as `root/model/version` and returns that folder.

    Args:
        run: a finished run.
        model: the name to serve it under.
        root: the model repository.
        version: by default one more than the highest there is.
        tta: with a signature that averages over the symmetries of a picture.
        novelty: which detector measures how unlike the training pictures an image is, one of CHOICES; "none"
            leaves that output out.
        explain: with a signature that says which places of an image speak for a class, if the network has a feature map; a
            line on stdout says why if it has none.
        data: where the data set is, whose training part the detector is fitted on; by default where it was.

    Raises:
        ConflictError: the version is there already.
        InvalidRequestError: the folder holds no run, or one that validated on its test part; the data set is not there; or the
            model has no features that a detector could look at.
    """
    base = root / model
    target = base / str(version or next_version(base))
    if target.exists():
        raise ConflictError(f"{target}: this version is published already; versions never change, export the next one")
    spec, evaluation = describe_run(run, model)
    scores = None
    network = import_module("keras").models.load_model(run.model_path, compile=False)  # only an export pays for TensorFlow
    measure = None
    if novelty != NONE:
        found = import_module("training.novelty.fitting").fit_novelty(run, network, method=novelty, data=data)
        measure, scores, spec = found.measure, found.test, spec.model_copy(update={"novelty": found.spec})
        evaluation["novelty"] = found.figures
    spec = spec.model_copy(update={"reference": make_reference(run.predictions("test"), spec, scores)})
    explainer = _explainer(network) if explain else None
    spec = spec.model_copy(update={"explain": explainer and explainer.spec})
    base.mkdir(parents=True, exist_ok=True)
    partial = base / f".{target.name}.{os.getpid()}.part"
    try:
        write = import_module("training.savedmodel").write_saved_model
        write(network, spec, partial, tta=tta, novelty=measure, explainer=explainer)
        _write_beside(run, spec, evaluation, partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # after a failure; after the rename nothing is left of it
    return target


def _explainer(network: Any) -> Any:
    try:
        return import_module("training.saliency").Explainer(network)
    except InvalidRequestError as error:
        print(f"without the signature explain: {error}")
        return None


def next_version(base: Path) -> int:
    """One more than the highest version below a model's folder; 1 where there is none."""
    taken = [int(path.name) for path in base.iterdir() if path.name.isdecimal()] if base.is_dir() else []
    return max(taken, default=0) + 1


def describe_run(run: RunFolder, model: str) -> tuple[ModelSpec, dict[str, Any]]:
    """The spec of a run and the evaluation of its test part. Temperature and thresholds come from validation alone.

    Raises:
        InvalidRequestError: no run, one that validated on its test part, or without malignant classes, or one whose images
            were decoded by other rules than a worker's.
    """
    record, calibration = run.record(), calibrate_run(run)
    if MetadataEncoder.load(run.path):
        raise InvalidRequestError(
            f"{run.path}: its net takes age, sex and site beside the picture, and a job has pictures alone; "
            "export a net of pictures"
        )
    expected = preprocessing_hash(record.height, record.width, record.resize)
    if record.preprocessing_hash != expected:
        raise InvalidRequestError(
            f"{run.path}: expected images that DermQ's decoder made ({expected}), as a worker will feed it, got "
            f"{record.preprocessing_hash!r}; train it on the images themselves: --data ../shared/data/ham10000, say"
        )
    if not calibration.thresholds:
        raise InvalidRequestError(f"{run.path}: no class of {list(record.classes)} counts as malignant, so there is no risk")
    evaluation = evaluate(run, run.predictions("test"), calibration, validation=run.predictions("validation"), rounds=1000)
    return _spec(record, model, calibration, evaluation["headline"]), evaluation


def _spec(record: RunRecord, model: str, calibration: Calibration, figures: dict[str, float]) -> ModelSpec:
    return ModelSpec.model_validate(
        {
            "name": model,
            "classes": record.classes,
            "input_height": record.height,
            "input_width": record.width,
            "resize": record.resize,
            "malignant": record.malignant,
            "thresholds": calibration.thresholds,
            "operating_point": OPERATING_POINT,
            "temperature": calibration.temperature,
            "dataset": record.dataset,
            "split": record.split,
            "metrics": {f"test_{name}": round(value, 4) for name, value in figures.items()},
            "git_commit": record.git_commit,
            "preprocessing_hash": record.preprocessing_hash,
            "licence": record.licence,
        }
    )


def _write_beside(run: RunFolder, spec: ModelSpec, evaluation: dict[str, Any], directory: Path) -> None:
    (directory / "README.md").write_text(render_card(run.record(), spec, evaluation), encoding="utf-8")
    extra = directory / "assets.extra"
    extra.mkdir()
    run.split().save(extra / "split.json")
    (extra / "spec.json").write_text(spec.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (extra / "evaluation.json").write_text(to_json(evaluation), encoding="utf-8")
    write_warm_up(extra / WARM_UP_NAME, spec, BATCH_SIZES)
    write_golden(directory, spec)


def next_command(model: str, target: Path) -> str:
    """What brings a published version to a server: one that lies in this checkout's own repository is there already."""
    shipped = Path(serving.__file__).parent / "models"
    if target.resolve().parent.parent == shipped.resolve():
        return f"dermq promote {model} {target.name}"
    return f"dermq models add {model} {target}"


def main(arguments: list[str] | None = None, prog: str = "python -m training.export") -> int:
    """`python -m training.export RUN --model NAME`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--model", required=True, help="the name to serve it under")
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="the model repository")
    parser.add_argument("--version", type=int, default=None, help="by default the next one")
    parser.add_argument("--tta", action="store_true", help="add a signature that averages over mirror images and quarter turns")
    parser.add_argument(
        "--novelty",
        choices=CHOICES,
        default=BEST,
        help="the detector of pictures unlike the training part's; best compares all, none leaves it out",
    )
    parser.add_argument(
        "--no-explain", action="store_true", help="leave out the signature that says which places speak for a class"
    )
    parser.add_argument("--data", type=Path, default=None, help="the data set, for --novelty; by default where it was")
    add_json_option(parser)
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        with working(as_json=chosen.json):
            target = export_run(
                RunFolder(chosen.run),
                model=chosen.model,
                root=chosen.root,
                version=chosen.version,
                tta=chosen.tta,
                novelty=chosen.novelty,
                explain=not chosen.no_explain,
                data=chosen.data,
            )
    except DermqError as error:
        print(f"export: {error}", file=sys.stderr)
        return 2
    following = next_command(chosen.model, target)
    text = f"published: {target}\nto serve it with the stack of this machine: {following}\n"
    text += (target / "README.md").read_text(encoding="utf-8")
    version = {"object": "version", "model": chosen.model, "version": int(target.name), "path": str(target), "next": following}
    answer(text, version, as_json=chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
