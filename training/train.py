"""Trains an experiment: data → split → batches → model → a run's folder.

python -m training.train --list
python -m training.train starter --data ../shared/data/ham10000
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import DermqError, InvalidRequestError
from core.imaging import preprocessing_hash
from training.answers import add_json_option, answer, working
from training.cache import load_pixels
from training.datasets.base import Dataset
from training.datasets.registry import CLASSES, load_dataset
from training.experiments.base import Experiment
from training.experiments.registry import EXPERIMENTS, find_experiment
from training.heldout import finish, save_held_out
from training.leakage import drop_duplicates, find_leakage, image_digests
from training.metadata import MetadataEncoder, encoded
from training.pretrained import check_weights
from training.resulttable import measured_minutes
from training.runs import DEFAULT_ROOT, RunFolder, RunRecord, git_commit, versions
from training.splits import PARTS, Split, split_grouped, split_published, split_sources
from training.standardise import standardised

SPLIT_SEED = 7


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line can change of an experiment."""

    data: Path | None = None  # by default where the project keeps the experiment's data set
    split: str = "grouped"
    weights: str | None = None  # of a pretrained base
    size: str | None = None  # HEIGHTxWIDTH, pixels
    out: Path | None = None
    epochs: int | None = None
    seed: int = 1
    threads: int = 2
    resume: bool = False
    drop_duplicates: bool = False
    mixed_precision: bool = False
    xla: bool = False
    teachers: tuple[Path, ...] = ()  # folders of runs


def train(experiment: Experiment, options: Options) -> RunFolder:
    """Runs one experiment and returns its folder.

    Raises:
        InvalidRequestError: the data are not as expected.
    """
    experiment = with_size(_with_weights(experiment, options.weights), options.size)
    fitting = import_module("training.fitting")  # only a process that trains pays for TensorFlow
    fitting.set_threads(options.threads)  # before the weights are tried, which is TensorFlow's first operation
    check_weights(experiment.options, experiment.height, experiment.width)  # before anything is decoded
    dataset = load_dataset(experiment.dataset, options.data)
    split = make_split(dataset, experiment, options.split)
    suffix = ("-deduplicated" if options.drop_duplicates else "") + (f"-{options.size}" if options.size else "")
    folder = RunFolder(options.out or DEFAULT_ROOT / f"{experiment.id}-{split.kind}{suffix}")
    how = _how(fitting, experiment, options, dataset, split)
    pixels = load_pixels(dataset, height=experiment.height, width=experiment.width)
    split = _look_for_leaks(dataset, split, pixels, folder, drop=options.drop_duplicates)
    experiment = standardised(experiment, pixels, dataset.positions(split.train))
    encoder, experiment = encoded(experiment, dataset, split)
    model = fitting.build_model(experiment, len(dataset.classes), how)
    record = _record(experiment, dataset, split, how, parameters=model.count_params(), data=options.data)
    folder.save(record, split)
    if encoder:
        encoder.save(folder.path)
    parts = {name: part_of(fitting, dataset, split.part(name), pixels, encoder) for name in PARTS}
    _show_teachers(parts, how.teachers, dataset, split)
    started = time.perf_counter()
    record.history = fitting.fit(model, experiment, parts, fitting=how, backup=folder.backup_path)
    record.train_seconds = round(time.perf_counter() - started, 1)
    finish(fitting, model, experiment, parts)
    if how.mixed_precision:
        model = fitting.in_precision(model, experiment, len(dataset.classes), mixed=False)
    model.save(folder.model_path)
    save_held_out(partial(fitting.predict, model), folder, dataset, split, pixels, encoder=encoder)
    folder.save(record, split)
    return folder


def tune(experiment: Experiment, options: Options, trials: int) -> str:
    """Searches for better settings of an experiment by its validation part, and returns the trials for people.

    Raises:
        InvalidRequestError: the data are not as expected, or the protocol holds no validation part.
    """
    experiment = with_size(_with_weights(experiment, options.weights), options.size)
    dataset = load_dataset(experiment.dataset, options.data)
    split = make_split(dataset, experiment, options.split)
    tuning = import_module("training.tuning")
    tuning.refuse_watched(experiment, split.validates_on_test)
    fitting = import_module("training.fitting")
    how = _how(fitting, experiment, replace(options, resume=False), dataset, split)  # an interrupted trial starts anew
    pixels = load_pixels(dataset, height=experiment.height, width=experiment.width)
    experiment = standardised(experiment, pixels, dataset.positions(split.train))
    encoder, experiment = encoded(experiment, dataset, split)
    parts = {name: part_of(fitting, dataset, split.part(name), pixels, encoder) for name in ("train", "validation")}
    _show_teachers(parts, how.teachers, dataset, split)
    folder = options.out or DEFAULT_ROOT / f"{experiment.id}-tuning"
    judge = tuning.judge_by_validation(fitting, how, parts, len(dataset.classes), folder)
    return str(tuning.show(tuning.search(experiment, judge, folder, trials=trials, seed=options.seed)))


def _how(fitting: Any, experiment: Experiment, options: Options, dataset: Dataset, split: Split) -> Any:
    """The run's settings, its teachers loaded.

    Raises:
        InvalidRequestError: teachers that cannot teach this run, or an experiment that cannot be trained so.
    """
    how = fitting.Fitting(
        epochs=options.epochs or experiment.epochs,
        seed=options.seed,
        threads=options.threads,
        resume=options.resume,
        mixed_precision=options.mixed_precision,
        xla=options.xla,
        teachers=tuple(_teacher(fitting, RunFolder(path), options, dataset, split) for path in options.teachers),
    )
    sizes = sorted({teacher.input_shape[1:3] for teacher in how.teachers})
    if len(sizes) > 1:
        raise InvalidRequestError(f"--teachers: expected runs of one size of pictures, got {sizes}")
    fitting.needs_trainee(experiment, how)  # before anything is decoded
    return how


def _teacher(fitting: Any, folder: RunFolder, options: Options, dataset: Dataset, split: Split) -> Any:
    record = folder.record()
    if tuple(record.classes) != dataset.classes:
        raise InvalidRequestError(f"--teachers {folder.path}: expected the classes {dataset.classes}, got {record.classes}")
    seen = set(folder.split().train) & {*split.validation, *split.test}
    if seen:
        raise InvalidRequestError(
            f"--teachers {folder.path}: expected a run that trained on nothing that is held out here, it trained on "
            f"{len(seen)} of those pictures (first: {min(seen)}); train it with this split"
        )
    experiment = replace(find_experiment(record.experiment), height=record.height, width=record.width)
    model = import_module("keras").models.load_model(folder.model_path, compile=False)
    return fitting.in_precision(model, experiment, len(record.classes), mixed=options.mixed_precision)


def _show_teachers(parts: dict[str, Any], teachers: Sequence[Any], dataset: Dataset, split: Split) -> None:
    """Gives the training part its pictures at the teachers' size, too."""
    if teachers:
        height, width = teachers[0].input_shape[1:3]
        wide = load_pixels(dataset, height=height, width=width)
        parts["train"] = replace(parts["train"], wide=wide[dataset.positions(split.train)])


def make_split(dataset: Dataset, experiment: Experiment, kind: str) -> Split:
    """The experiment's split of this kind, `published` or `grouped`.

    Raises:
        InvalidRequestError: another kind, or nothing was published.
    """
    if kind == "grouped" and dataset.sources:
        return split_sources(dataset, seed=SPLIT_SEED)
    if kind == "grouped":
        return split_grouped(dataset, seed=SPLIT_SEED)
    if kind != "published" or experiment.published is None:
        raise InvalidRequestError(f"{experiment.id}: expected split 'grouped', or 'published' if a result is, got {kind!r}")
    return split_published(dataset, experiment.published.protocol)


def _look_for_leaks(dataset: Dataset, split: Split, pixels: Any, folder: RunFolder, *, drop: bool) -> Split:
    digests = image_digests(dataset)
    report = find_leakage(dataset, split, digests, pixels)
    if drop:
        before, split = split.size, drop_duplicates(dataset, split, digests)
        report = replace(report, dropped=before - split.size)
    print("\n".join(f"leakage: {line}" for line in report.lines()), flush=True)
    folder.save_leakage(report)
    return split


def _with_weights(experiment: Experiment, weights: str | None) -> Experiment:
    if weights is None:
        return experiment
    if "weights" not in experiment.options:
        raise InvalidRequestError(f"--weights: {experiment.id} has no pretrained base")
    return replace(experiment, options={**experiment.options, "weights": weights})


def with_size(experiment: Experiment, size: str | None) -> Experiment:
    """The experiment on pictures of another size.

    Raises:
        InvalidRequestError: not of the form HEIGHTxWIDTH, in pixels.
    """
    if size is None:
        return experiment
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", size)
    if found is None:
        raise InvalidRequestError(f"--size: expected HEIGHTxWIDTH in pixels, such as 75x100, got {size!r}")
    return replace(experiment, height=int(found[1]), width=int(found[2]))


def part_of(fitting: Any, dataset: Dataset, ids: Sequence[str], pixels: Any, encoder: MetadataEncoder | None = None) -> Any:
    """`fitting.Arrays` of these samples: pixels, labels, which classes their source labels, metadata."""
    positions = dataset.positions(ids)
    labelled = dataset.labelled()[positions] if dataset.sources else None
    known = encoder.encode([dataset.samples[i] for i in positions]) if encoder else None
    return fitting.Arrays(pixels[positions], dataset.label_indices()[positions], labelled, known)


def _record(
    experiment: Experiment, dataset: Dataset, split: Split, how: Any, *, parameters: int, data: Path | None
) -> RunRecord:
    return RunRecord(
        experiment=experiment.id,
        architecture=experiment.architecture,
        dataset=dataset.title,
        licence=dataset.licence,
        classes=dataset.classes,
        malignant=dataset.malignant,
        height=experiment.height,
        width=experiment.width,
        resize="stretch",
        preprocessing_hash=recorded_preprocessing(experiment, dataset),
        seed=how.seed,
        split=split.title,
        epochs=how.epochs,
        parameters=parameters,
        data=str(data.resolve()) if data else "",
        weights=_weights_name(experiment),
        git_commit=git_commit(),
        versions=versions(),
    )


def _weights_name(experiment: Experiment) -> str:
    """What the network begins with; of a file its name alone, since the record travels into model cards."""
    return Path(str(experiment.options.get("weights", "none"))).name


def recorded_preprocessing(experiment: Experiment, dataset: Dataset) -> str:
    """By which rules the run's pixels were made: the decoder's hash, or whose they are."""
    if dataset.pixels is not None:  # decoded by whoever published it: no worker can feed a model the same pixels
        return f"as published in {dataset.name}"
    return preprocessing_hash(experiment.height, experiment.width, "stretch")


def _summary(experiment: Experiment, options: Options) -> str:
    """The layers, without pretrained weights unless they are asked for: they change no layer."""
    experiment = with_size(experiment, options.size)
    if "weights" in experiment.options:
        experiment = _with_weights(experiment, options.weights or "none")
    if experiment.metadata:  # as many columns as HAM10000 gives
        experiment = replace(experiment, options={**experiment.options, "nothing_known": (0.0,) * 20})
    classes = load_dataset(experiment.dataset, options.data).classes if options.data else CLASSES[experiment.dataset]
    summary: str = import_module("training.summary").summarise(experiment, len(classes))
    return summary


def list_experiments() -> str:
    """A table of the experiments, one a line. Minutes on two CPU cores: measured where a result was kept, else a guess (~)."""
    rows = [f"{'experiment':<20} {'input':>9} {'parameters':>11} {'epochs':>6} {'minutes':>7} {'published':>9}  title"]
    for found in EXPERIMENTS.values():
        parameters = f"{found.parameters:,}" if found.parameters else ""
        size = f"{found.height}x{found.width}"
        figure = f"{100 * found.published.accuracy:.2f} %" if found.published and found.published.accuracy else ""
        measured = measured_minutes(found.id)
        minutes = f"~{found.minutes:g}" if measured is None else f"{measured:.0f}"
        rows.append(f"{found.id:<20} {size:>9} {parameters:>11} {found.epochs:>6} {minutes:>7} {figure:>9}  {found.title}")
    return "\n".join(rows)


def _as_object(experiment: Experiment) -> dict[str, Any]:
    measured = measured_minutes(experiment.id)
    return {
        "id": experiment.id,
        "title": experiment.title,
        "height": experiment.height,
        "width": experiment.width,
        "parameters": experiment.parameters,
        "epochs": experiment.epochs,
        "minutes": experiment.minutes if measured is None else measured,
        "measured": measured is not None,
        "published_accuracy": experiment.published.accuracy if experiment.published else None,
    }


def main(arguments: list[str] | None = None, prog: str = "python -m training.train") -> int:
    """`python -m training.train EXPERIMENT …`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?", help="one of: " + ", ".join(EXPERIMENTS))
    parser.add_argument("--list", action="store_true", help="show the experiments and end")
    parser.add_argument("--summary", action="store_true", help="show the layers of the experiment's net and end")
    parser.add_argument("--data", type=Path, default=None, help="the data set; by default where the project keeps it")
    parser.add_argument("--split", choices=("grouped", "published"), default="grouped", help="by lesion, or as published")
    parser.add_argument("--weights", default=None, help="of a pretrained base: imagenet, none, a file, or a package of weights")
    parser.add_argument("--size", default=None, help="HEIGHTxWIDTH in pixels; by default that of the experiment")
    parser.add_argument("--out", type=Path, default=None, help="folder of the run; by default below data/runs")
    parser.add_argument("--epochs", type=int, default=None, help="how many; by default those of the experiment")
    parser.add_argument("--seed", type=int, default=1, help="of the initial weights, the order and the augmentation")
    parser.add_argument("--threads", type=int, default=2, help="of the CPU, for training")
    parser.add_argument(
        "--resume", action="store_true", help="keep the state of each epoch, and go on from it after an interruption"
    )
    parser.add_argument("--drop-duplicates", action="store_true", help="keep each picture in one part and under one label")
    parser.add_argument("--mixed-precision", action="store_true", help="bfloat16 arithmetic where it is safe: GPUs, newer CPUs")
    parser.add_argument(
        "--tune",
        type=int,
        default=None,
        metavar="N",
        help="search for better settings by the validation part, in N trials of all epochs, and end; goes on where it stopped",
    )
    parser.add_argument("--xla", action="store_true", help="compile with XLA, for a GPU")
    parser.add_argument("--teachers", type=Path, nargs="+", default=(), help="folders of finished runs, whose answers teach")
    add_json_option(parser)
    chosen = vars(parser.parse_args(arguments))
    as_json = chosen.pop("json")
    if chosen.pop("list") or chosen["experiment"] is None:
        answer(list_experiments(), [_as_object(each) for each in EXPERIMENTS.values()], as_json=as_json)
        return 0
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        experiment = find_experiment(chosen.pop("experiment"))
        summary, trials = chosen.pop("summary"), chosen.pop("tune")
        with working(as_json=as_json):
            if summary or trials:
                text = _summary(experiment, Options(**chosen)) if summary else tune(experiment, Options(**chosen), trials)
                value = {"experiment": experiment.id, "text": text}
            else:
                path = str(train(experiment, Options(**chosen)).path)
                text, value = f"run: {path}", {"object": "run", "path": path}
    except DermqError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    answer(text, value, as_json=as_json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
