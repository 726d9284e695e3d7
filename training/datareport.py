"""What a data set holds, before anything is trained on it, as one HTML page: classes and their imbalance, a picture of each,
copies, groups, and what each split lets slip.

    python -m training.datareport ham10000 [--data ../shared/data/ham10000] [--out data/ham10000.html]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DermqError
from training.answers import add_json_option, answer
from training.cache import load_pixels
from training.datasets.base import Dataset, UInt8Array
from training.datasets.registry import DATASETS, load_dataset
from training.experiments.registry import EXPERIMENTS
from training.leakage import find_leakage, image_digests
from training.page import STYLE, png, table
from training.splits import PARTS, Split, split_grouped, split_published

SPLIT_SEED = 7  # as training.train splits
SIZE = (75, 100)  # pixels, height and width: of the pictures shown and compared
_EXAMPLES = 10


def render_data_report(dataset: Dataset, pixels: UInt8Array) -> str:
    """The page.

    Args:
        dataset: the images.
        pixels: uint8 [n, h, w, 3], in the order of the samples.
    """
    digests = image_digests(dataset)
    body = [
        f"<h1>{escape(dataset.title)}</h1>",
        f"<p>{len(dataset):,} images; licence: {escape(dataset.licence)}</p>",
        "<h2>Classes</h2>",
        *(f"<p>{escape(line)}</p>" for line in imbalance(dataset)),
        table(_class_rows(dataset)),
        "<h2>One picture a class</h2>",
        _pictures(dataset, pixels),
        "<h2>Groups</h2>",
        *(f"<p>{escape(line)}</p>" for line in group_lines(dataset)),
        "<h2>Copies</h2>",
        *(f"<p>{escape(line)}</p>" for line in copy_lines(dataset, digests)),
        "<h2>What splits let slip</h2>",
        *_leakage(dataset, digests, pixels),
        "<h2>Known of the images</h2>",
        table(_attribute_rows(dataset)),
    ]
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(dataset.title)}</title>"
    return head + f"<style>{STYLE}</style>" + "\n".join(body)


def imbalance(dataset: Dataset) -> list[str]:
    """Findings on the sizes of the classes, a sentence each."""
    counts = Counter(sample.label for sample in dataset.samples)
    (largest, most), (smallest, least) = counts.most_common()[0], counts.most_common()[-1]
    shares = np.array([*counts.values()]) / len(dataset)
    alike = float(np.exp(-(shares * np.log(shares)).sum()))
    return [
        f"The largest class, {largest}, has {most / least:.1f} times the images of the smallest, {smallest} "
        f"({most:,} and {least:,}).",
        f"A model that always says {largest} has an accuracy of {100 * most / len(dataset):.1f} %, and a balanced accuracy of "
        f"{100 / len(counts):.1f} %.",
        f"The {len(counts)} classes are as spread out as {alike:.1f} of equal size (exponential of the entropy).",
    ]


def group_lines(dataset: Dataset) -> list[str]:
    """Findings on groups (lesions, patients): images that must not be torn apart."""
    sizes = Counter(sample.group for sample in dataset.samples)
    several = [size for size in sizes.values() if size > 1]
    labels = defaultdict(set)
    for sample in dataset.samples:
        labels[sample.group].add(sample.label)
    lines = [f"{len(sizes):,} groups; {len(several):,} have several images, up to {max(sizes.values())}."]
    mixed = sum(len(found) > 1 for found in labels.values())
    return [*lines, f"{mixed:,} groups have images under more than one label."] if mixed else lines


def copy_lines(dataset: Dataset, digests: Sequence[str]) -> list[str]:
    """Findings on byte-identical images."""
    where: dict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(digests):
        where[digest].append(position)
    copied = [positions for positions in where.values() if len(positions) > 1]
    labels = Counter(
        " and ".join(sorted(found)) for each in copied if len(found := {dataset.samples[i].label for i in each}) > 1
    )
    surplus = sum(len(positions) - 1 for positions in copied)
    lines = [f"{len(copied):,} pictures are there more than once, byte for byte; {surplus:,} images are such repetitions."]
    lines += [f"{count:,} pictures lie under both {pair}." for pair, count in labels.most_common()]
    names = [", ".join(dataset.samples[i].id for i in positions) for positions in copied[:_EXAMPLES]]
    return [*lines, "For example: " + "; ".join(names) + "."] if names else lines


def published_splits(dataset: Dataset) -> dict[str, Split]:
    """The split by group, and those of the published protocols for this data set, each once."""
    splits = {"by group": split_grouped(dataset, seed=SPLIT_SEED)}
    for experiment in EXPERIMENTS.values():
        if experiment.published and experiment.dataset == dataset.name:
            protocol = experiment.published.protocol
            title = f"published: test {protocol.test:g}, validation {protocol.validation:g}, seed {protocol.seed}"
            splits.setdefault(title, split_published(dataset, protocol))
    return splits


def _leakage(dataset: Dataset, digests: Sequence[str], pixels: UInt8Array) -> list[str]:
    parts = []
    for title, split in published_splits(dataset).items():
        sizes = ", ".join(f"{part} {len(split.part(part)):,}" for part in PARTS)
        lines = find_leakage(dataset, split, digests, pixels).lines()
        parts.append(f"<h3>{escape(title)} ({sizes})</h3><ul>" + "".join(f"<li>{escape(line)}" for line in lines) + "</ul>")
    return parts


def _class_rows(dataset: Dataset) -> list[Sequence[Any]]:
    counts = Counter(sample.label for sample in dataset.samples)
    groups = {name: len({sample.group for sample in dataset.samples if sample.label == name}) for name in dataset.classes}
    rows: list[Sequence[Any]] = [("class", "images", "share", "groups", "malignant")]
    for name in sorted(dataset.classes, key=lambda name: -counts[name]):
        share = f"{100 * counts[name] / len(dataset):.1f} %"
        rows.append((name, f"{counts[name]:,}", share, f"{groups[name]:,}", "yes" if name in dataset.malignant else ""))
    return rows


def _pictures(dataset: Dataset, pixels: UInt8Array) -> str:
    """The first image of each class."""
    first: dict[str, int] = {}
    for position, sample in enumerate(dataset.samples):
        first.setdefault(sample.label, position)
    return "".join(
        f"<figure><img src='data:image/png;base64,{png(pixels[first[name]])}' alt=''><br>{escape(name)}<br>"
        f"{escape(dataset.samples[first[name]].id)}</figure>"
        for name in dataset.classes
        if name in first
    )


def _attribute_rows(dataset: Dataset) -> list[Sequence[Any]]:
    names = sorted({name for sample in dataset.samples for name in sample.attributes})
    rows: list[Sequence[Any]] = [("attribute", "known", "missing", "most frequent")]
    for name in names:
        values = Counter(sample.attributes.get(name, "") for sample in dataset.samples)
        missing = values.pop("", 0) + values.pop("unknown", 0)
        frequent = ", ".join(f"{value} ({count:,})" for value, count in values.most_common(4))
        rows.append((name, f"{len(dataset) - missing:,}", f"{missing:,}", frequent))
    return rows


def main(arguments: list[str] | None = None, prog: str = "python -m training.datareport") -> int:
    """`python -m training.datareport NAME`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=tuple(DATASETS), help="kind of the data set: " + ", ".join(DATASETS))
    parser.add_argument("--data", type=Path, default=None, help="the data set; by default where the project keeps it")
    parser.add_argument("--out", type=Path, default=None, help="the page; by default data/<name>.html")
    add_json_option(parser)
    chosen = parser.parse_args(arguments)
    try:
        dataset = load_dataset(chosen.name, chosen.data)
        height, width = SIZE if dataset.pixels is None else dataset.pixels.shape[1:3]
        page = render_data_report(dataset, load_pixels(dataset, height=height, width=width))
    except DermqError as error:
        print(f"data report: {error}", file=sys.stderr)
        return 2
    path = chosen.out or Path("data") / f"{chosen.name}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    lines = imbalance(dataset)
    answer(
        "\n".join([*lines, f"report: {path}"]), {"object": "report", "path": str(path), "imbalance": lines}, as_json=chosen.json
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
