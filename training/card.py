"""The model card of an exported version: what it was made from, how good it is, what it must not be used for."""

from __future__ import annotations

from typing import Any

from core.modelspec import ModelSpec
from training.runs import RunRecord

_INTENDED_USE = """\
Research use only, not a diagnosis. The output is a list of probabilities over the classes named below, meant for sorting and
screening an archive of dermatoscopic images. Classes that are not in the list do not exist for this model: anything else, a
photograph of a cat included, is still spread over them."""

_LIMITS = """\
- Dermatoscopic images only, mostly of one Austrian and one Australian site; photographs by phone are another kind of picture.
- HAM10000 has no field for skin tone, so no evaluation by skin tone was possible, and none may be inferred.
- The test part comes from the same collection as the training part: figures on images of another clinic will be lower."""


def render_card(record: RunRecord, spec: ModelSpec, evaluation: dict[str, Any]) -> str:
    """The card as Markdown. No dates and no paths: the same run gives the same card."""
    sections = {
        f"# Model card: {spec.name}": "",
        "## Intended use": _INTENDED_USE,
        "## Made from": _origin(record, spec),
        "## Figures": _figures(spec, evaluation),
        "## By class": _by_class(evaluation),
        "## Operating points": _operating_points(evaluation),
        "## Limits": _LIMITS,
        "## Licence": f"Weights: {spec.licence}, as the images of {spec.dataset} they were derived from.",
    }
    return "\n\n".join(part for heading, text in sections.items() for part in (heading, text) if part) + "\n"


def _origin(record: RunRecord, spec: ModelSpec) -> str:
    return f"""\
- Data: {spec.dataset} ({spec.licence}); images decoded by `core.imaging` to {spec.input_height}x{spec.input_width}
  ({spec.resize}).
- Split: {spec.split}; every image of a lesion is in one part. The lists are in `assets.extra/split.json`.
- Architecture: {record.architecture}, {record.parameters:,} parameters, trained from scratch for {record.epochs} epochs,
  seed {record.seed}.
- Calibrated with temperature {spec.temperature}, fitted on the validation part; it is folded into the graph.
- Made by `python -m training.train {record.experiment}` and `python -m training.export data/runs/… --model {spec.name}`,
  at commit `{record.git_commit or "unknown"}` ({", ".join(f"{name} {number}" for name, number in record.versions.items())})."""


def _figures(spec: ModelSpec, evaluation: dict[str, Any]) -> str:
    figures, spread = evaluation["headline"], evaluation["interval_95"]
    before = _decimal(evaluation["ece_uncalibrated"])
    majority, chance = _percent(figures["majority_accuracy"]), _percent(1 / len(spec.classes))
    malignant = ", ".join(spec.malignant)
    rows = [  # figure, its key, what to hold it against
        ("accuracy", "accuracy", _percent, f"majority class alone: {majority}"),
        ("balanced accuracy (mean recall)", "balanced_accuracy", _percent, f"chance: {chance}"),
        ("macro AUC, one against the rest", "macro_auc", _decimal, "chance: 0.500"),
        (f"AUC, malignant ({malignant}) against benign", "malignant_auc", _decimal, "chance: 0.500"),
        ("expected calibration error, 15 bins", "ece", _decimal, f"before calibration: {before}"),
    ]
    lines = [
        f"| {title} | {show(figures[key])} | {show(spread[key][0])} to {show(spread[key][1])} | {beside} |"
        for title, key, show, beside in rows
    ]
    head = f"""\
On the {evaluation["images"]:,} images of the test part; temperature and thresholds were chosen on validation.
Intervals: 95 %, bootstrap over lesions.
"""
    return "\n".join([head, "| figure | value | interval | for comparison |", "|---|---|---|---|", *lines])


def _by_class(evaluation: dict[str, Any]) -> str:
    rows = [
        f"| {name} | {found['images']} | {_percent(found['recall'])} | {_percent(found['precision'])} | {found['auc']:.3f} |"
        for name, found in evaluation["classes"].items()
    ]
    return "\n".join(["| class | images | recall | precision | AUC |", "|---|---|---|---|---|", *rows])


def _operating_points(evaluation: dict[str, Any]) -> str:
    rows = [
        f"| {name} | {point['threshold']:.4f} | {_percent(point['sensitivity'])} | {_percent(point['specificity'])} "
        f"| {_percent(point['flagged'])} |"
        for name, point in evaluation["operating_points"].items()
    ]
    head = "Thresholds of the risk (summed probability of the malignant classes), chosen on validation, measured on test:"
    table = ["| operating point | risk ≥ | sensitivity | specificity | flagged |", "|---|---|---|---|---|", *rows]
    return head + "\n\n" + "\n".join(table)


def _decimal(value: float) -> str:
    return f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
