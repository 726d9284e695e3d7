"""The model card of an exported version: what it was made from, how good it is, what it must not be used for."""

from __future__ import annotations

import math
from typing import Any

from core.modelspec import ModelSpec
from training.calibrate import OPERATING_POINT
from training.pretrained import PACKAGES
from training.runs import RunRecord
from training.screening import LEVELS, useful_range

_INTENDED_USE = """\
Research use only, not a diagnosis. The output is a list of probabilities over the classes named below, meant for sorting and
screening an archive of dermatoscopic images. Classes that are not in the list do not exist for this model: anything else, a
photograph of a cat included, is still spread over them."""

_LIMITS = """\
- Dermatoscopic images only, mostly of one Austrian and one Australian site; photographs by phone are another kind of picture.
- HAM10000 has no field for skin tone, so no evaluation by skin tone was possible, and none may be inferred.
- The test part comes from the same collection as the training part: figures on images of another clinic will be lower."""

_SOURCES = """\
Pictures of other sources, held out by lesion and patient. The model answers over all classes; temperature and threshold
are those above. Sensitivity / specificity are those of flagging malignant images. Intervals: 95 %, bootstrap over groups."""

_SALIENCY = """\
The signature `explain` gives a map of {height}x{width} places for each class ({method}, Selvaraju et al. 2017): where the last
feature map raises the score of the class. The highest value of each map is 1, however small the score is. A map does not say
that the answer is right, nor that the place is what a dermatologist would look at."""

_BOTH_WAYS = (("sensitivity", "specificity"), ("specificity", "sensitivity"))
_SCREENING = """\
Melanoma against all other classes by the probability of melanoma; malignant against benign by the risk. Intervals: 95 %,
bootstrap over lesions; those of a threshold from validation resample the lesions of both parts. How many images must be
reviewed for each one found depends on how rare it is: in a population with fewer cases it is more."""


def render_card(record: RunRecord, spec: ModelSpec, evaluation: dict[str, Any]) -> str:
    """The card as Markdown. No dates and no paths: the same run gives the same card."""
    sections = {
        f"# Model card: {spec.name}": "",
        "## Intended use": _INTENDED_USE,
        "## Made from": _origin(record, spec),
        "## Figures": _figures(spec, evaluation),
        "## By class": _by_class(evaluation),
        "## Operating points": _operating_points(evaluation),
        "## Screening": _screening(evaluation),
        "## Other sources": _sources(evaluation.get("sources", {})),
        "## By age, sex and site": _groups(evaluation["groups"]),
        **({"## Unlike the training pictures": _novelty(evaluation["novelty"])} if "novelty" in evaluation else {}),
        **({"## Which places speak for a class": _SALIENCY.format(**spec.explain.model_dump())} if spec.explain else {}),
        "## Limits": _LIMITS,
        "## Licence": _licence(record, spec),
    }
    return "\n\n".join(part for heading, text in sections.items() for part in (heading, text) if part) + "\n"


def _origin(record: RunRecord, spec: ModelSpec) -> str:
    return f"""\
- Data: {spec.dataset} ({spec.licence}); images decoded by `core.imaging` to {spec.input_height}x{spec.input_width}
  ({spec.resize}).
- Split: {spec.split}; every image of a lesion is in one part. The lists are in `assets.extra/split.json`.
- Architecture: {record.architecture}, {record.parameters:,} parameters, trained {_beginning(record)} for {record.epochs}
  epochs, seed {record.seed}.
- Calibrated with temperature {spec.temperature}, fitted on the validation part; it is folded into the graph.
- Made by `python -m training.train {record.experiment}` and `python -m training.export data/runs/… --model {spec.name}`,
  at commit `{record.git_commit or "unknown"}` ({", ".join(f"{name} {number}" for name, number in record.versions.items())})."""


def _beginning(record: RunRecord) -> str:
    began = "from scratch" if record.weights == "none" else f"from the weights {record.weights} (ImageNet)"
    return f"{began}, then mixed ({record.lineage})," if record.lineage else began


def _licence(record: RunRecord, spec: ModelSpec) -> str:
    text = f"Weights: {spec.licence}, as the images of {spec.dataset} they were derived from."
    package = PACKAGES.get(record.weights)
    return text if package is None else f"{text} They began as those of {record.weights}, {package.licence}."


def _sources(found: dict[str, Any]) -> str:
    """The figures of each further source; empty where there is none."""
    if not found:
        return ""
    names = sorted({name for figures in found.values() for name in figures["interval_95"]})
    rows = [
        f"| {source} | {figures['images']} | "
        + " | ".join(_plain_within(figures[name], figures["interval_95"][name]) for name in names)
        + f" | {_percent(figures[OPERATING_POINT]['sensitivity'])} / {_percent(figures[OPERATING_POINT]['specificity'])} |"
        for source, figures in found.items()
    ]
    head = f"| source | images | {' | '.join(name.replace('_', ' ') for name in names)} | flagged at {OPERATING_POINT} |"
    return "\n".join([_SOURCES, "", head, "|---" * (len(names) + 3) + "|", *rows])


def _plain_within(value: float, bounds: tuple[float, float]) -> str:
    return f"{value:.3f} ({bounds[0]:.3f} to {bounds[1]:.3f})"


def _groups(groups: dict[str, dict[str, dict[str, float]]]) -> str:
    """A row for each age band, sex and site with enough images; empty where nothing is known of them."""
    rows = [
        f"| {name}: {value} | {found['images']} | {found['malignant']} | {_percent(found['accuracy'])} "
        f"| {found['malignant_auc']:.3f} |"
        for name, values in groups.items()
        for value, found in values.items()
    ]
    head = ["| group | images | malignant | accuracy | malignant AUC |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows]) if rows else ""


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
        ("log-loss, nats", "log_loss", _decimal, f"all classes alike: {math.log(len(spec.classes)):.3f}"),
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


def _screening(evaluation: dict[str, Any]) -> str:
    """Each question's place on its ROC curve, then what thresholds of validation gave on test, then the net benefit."""
    asked = evaluation["screening"]
    names = [f"{one} at {level} % {other}" for one, other in _BOTH_WAYS for level in LEVELS]
    keys = [f"{one}_at_{other}_{level}" for one, other in _BOTH_WAYS for level in LEVELS]
    head = [f"{question} ({found['positive']:,} of {found['images']:,})" for question, found in asked.items()]
    rows = [
        " | ".join([name, *(_share_within(found["curve"][key], found["curve_interval_95"][key]) for found in asked.values())])
        for name, key in zip(names, keys, strict=True)
    ]
    curve = [
        f"| on the test part's ROC curve | {' | '.join(head)} |",
        "|---" * (len(head) + 1) + "|",
        *(f"| {r} |" for r in rows),
    ]
    carried = [
        "| threshold chosen on validation | score ≥ | sensitivity | specificity | images to review for each found |",
        "|---|---|---|---|---|",
        *(_carried(question, name, point) for question, found in asked.items() for name, point in found["carried"].items()),
    ]
    benefit = [_net_benefit(question, found) for question, found in asked.items()]
    return "\n\n".join([_SCREENING, "\n".join(curve), "\n".join(carried), "\n".join(benefit)])


def _carried(question: str, name: str, point: dict[str, Any]) -> str:
    spread = point["interval_95"]
    low, high = spread["threshold"]
    cells = [
        f"{question}, {name.replace('_', ' ')} %",
        f"{point['threshold']:.3f} ({low:.3f} to {high:.3f})",
        *(_share_within(point[key], spread[key]) for key in ("sensitivity", "specificity")),
        f"{point['needed_to_review']:.1f} ({spread['needed_to_review'][0]:.1f} to {spread['needed_to_review'][1]:.1f})",
    ]
    return f"| {' | '.join(cells)} |"


def _net_benefit(question: str, found: dict[str, Any]) -> str:
    useful = useful_range(found["decision_curve"])
    said = f"from {_percent(useful[0])} to {_percent(useful[1])}" if useful else "at none"
    return f"- {question}: more net benefit than flagging all or none for those who would act {said} of probability."


def _share_within(value: float, bounds: tuple[float, float]) -> str:
    return f"{_percent(value)} ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})"


def _novelty(figures: dict[str, Any]) -> str:
    noted, limit = figures["noted"], f"{figures['threshold']:g}"
    rows = [
        f"| {name} | {row['pictures']} | {_decimal(row['auroc'])} | {_percent(row['fpr95'])} | {_percent(row['noted'])} |"
        for name, row in figures["kinds"][figures["method"]].items()
    ]
    head = f"""\
Every answer has `novelty`, the distance of the picture's features from those of the training part (method:
{figures["method"]}). Its unit is set on the validation part, {_percent(noted["validation"])} of which is above {limit}.
An image above {limit} gets the note `unlike_training`: do not rely on its probabilities.
**False alarms on the test part: {_percent(noted["test"])}.**

How far these pictures are told from those of the validation part, and how many of them get the note:
"""
    table = ["| pictures | number | AUROC | FPR at 95 % TPR | noted |", "|---|---|---|---|---|", *rows]
    more = "Most pictures of other lesions, and of another dermatoscope, get no note: it does not tell a foreign lesion."
    return "\n".join([head, *table]) + "\n\n" + more


def _decimal(value: float) -> str:
    return f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
