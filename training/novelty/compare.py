"""Compares the detectors on an exported version, also on pictures of your own; prints the table of docs/models/novelty.md.

    python -m training.novelty.compare serving/models/starter/2 --data ../shared/data/ham10000 \\
        --pictures "ISIC 2017=../shared/data/isic2017/isic2017_256.zip"

The version may be of any age: features are read from its graph, parts from its `assets.extra/split.json`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import DermqError, InvalidRequestError
from core.imaging import decode_image
from core.modelspec import INPUT_ALIAS, ModelSpec
from core.settings import ImageLimits
from training.cache import load_pixels
from training.datasets.base import UInt8Array
from training.datasets.registry import load_dataset
from training.datasets.sources import FileSource, ZipSource, folder_files, zip_members
from training.novelty.detectors import Float32Array, Head
from training.novelty.fitting import NOT_NOVEL, HeldOut, Known, choose, draw_unlike
from training.novelty.pictures import turned
from training.novelty.statistics import beside
from training.splits import Split

SAMPLE = 400  # of each set of pictures of one's own
_BATCH = 64


def compare_version(version: Path, data: Path | None, pictures: Mapping[str, Path]) -> dict[str, Any]:
    """Fits all detectors on a version's features; figures as `training.novelty.fitting.choose` has them.

    Args:
        version: its folder.
        data: the data set it was trained on.
        pictures: name → a ZIP or a folder of pictures; up to SAMPLE of each are looked at.

    Raises:
        InvalidRequestError: no such version, data or pictures.
    """
    spec, split = _beside(version)
    features_of, head = features_of_graph(version)

    def observe(drawn: UInt8Array) -> Float32Array:
        found: Float32Array = np.asarray(beside(features_of(drawn), drawn), np.float32)
        return found

    dataset = load_dataset(split.dataset, data)
    pixels = load_pixels(dataset, height=spec.input_height, width=spec.input_width, resize=spec.resize)
    rows = {part: dataset.positions(split.part(part)) for part in ("train", "validation", "test")}
    observed = {part: observe(pixels[positions]) for part, positions in rows.items()}
    validation = pixels[rows["validation"]]
    others = {NOT_NOVEL: turned(validation)} | {name: sample(path, spec) for name, path in pictures.items()}
    kinds = {name: observe(drawn) for name, drawn in draw_unlike(validation).items()}
    known = Known(observed["train"], dataset.label_indices()[rows["train"]], head)
    held_out = HeldOut(observed["validation"], observed["test"])
    return choose(known, held_out, kinds, others={name: observe(drawn) for name, drawn in others.items()}).figures


def sample(path: Path, spec: ModelSpec, count: int = SAMPLE) -> UInt8Array:
    """Pictures of a ZIP or a folder as the version sees them, uint8 [up to count, height, width, 3].

    Raises:
        InvalidRequestError: there are none.
        ItemError: one cannot be decoded.
    """
    source = ZipSource(path, tuple(zip_members(path))) if path.is_file() else FileSource(tuple(folder_files(path)))
    total = len(source.members if isinstance(source, ZipSource) else source.paths)
    if not total:
        raise InvalidRequestError(f"{path}: expected a folder or ZIP with pictures, found none")
    height, width, limits = spec.input_height, spec.input_width, ImageLimits()
    chosen = sorted(np.random.default_rng(0).permutation(total)[:count].tolist())
    with source.open() as reader:
        decoded = [decode_image(reader.read(i), height=height, width=width, resize=spec.resize, limits=limits) for i in chosen]
    return np.stack([each.pixels for each in decoded])


def features_of_graph(version: Path) -> tuple[Callable[[UInt8Array], Float32Array], Head]:
    """What goes into the last matrix product of a version's `serving_default`, and that product's weights.

    Raises:
        InvalidRequestError: the graph has no such product with constant weights.
    """
    import tensorflow as tf  # noqa: PLC0415 - a process that only reads --help does not pay for it
    from tensorflow.python.framework import convert_to_constants  # noqa: PLC0415

    signature = tf.saved_model.load(str(version)).signatures["serving_default"]
    graph = convert_to_constants.convert_variables_to_constants_v2(signature).graph
    products = [each for each in graph.get_operations() if each.type == "MatMul"]
    pairs = [(each, *(tf.get_static_value(value) for value in _bias_and_kernel(each))) for each in products]
    heads = [(each, bias, kernel) for each, bias, kernel in pairs if bias is not None and kernel is not None]
    if not heads:
        raise InvalidRequestError(f"{version}: expected a dense layer with constant weights in its graph, found none")
    product, bias, kernel = heads[-1]
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph.as_graph_def(), name=""), [])
    pruned = wrapped.prune(f"{INPUT_ALIAS}:0", product.inputs[0].name)

    def compute(pixels: UInt8Array) -> Float32Array:
        batches = [pruned(tf.constant(pixels[at : at + _BATCH])).numpy() for at in range(0, len(pixels), _BATCH)]
        return np.concatenate(batches)

    return compute, Head(kernel, bias)


def _bias_and_kernel(product: Any) -> tuple[Any, Any]:
    """The tensors beside a matrix product; the product itself for a bias that is not there, which is no constant."""
    following = [each for each in product.outputs[0].consumers() if each.type in ("BiasAdd", "AddV2")]
    return (following[0].inputs[1] if following else product.outputs[0]), _origin(product.inputs[1])


def _origin(tensor: Any) -> Any:
    return _origin(tensor.op.inputs[0]) if tensor.op.type == "Identity" else tensor


def _beside(version: Path) -> tuple[ModelSpec, Split]:
    extra = version / "assets.extra"
    try:
        return ModelSpec.model_validate_json((extra / "spec.json").read_bytes()), Split.load(extra / "split.json")
    except OSError as error:
        raise InvalidRequestError(f"{version}: expected the folder of an exported version: {error}") from error


def as_table(figures: Mapping[str, Any]) -> str:
    """Markdown: a row for each kind of pictures, three figures for each detector."""
    methods = figures["kinds"]
    lines = ["| pictures | number | " + " | ".join(methods) + " |", "|---|---|" + "---|" * len(methods)]
    for name, row in next(iter(methods.values())).items():
        cells = [methods[each][name] for each in methods]
        shown = [f"{cell['auroc']:.3f}, {100 * cell['fpr95']:.0f} %, {100 * cell['noted']:.0f} %" for cell in cells]
        lines.append(f"| {name} | {row['pictures']} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """`python -m training.novelty.compare VERSION`; exit status 0, or 2 for a request that cannot be carried out."""
    parser = argparse.ArgumentParser(prog="python -m training.novelty.compare", description=__doc__)
    parser.add_argument("version", type=Path, help="folder of an exported version")
    parser.add_argument("--data", type=Path, default=None, help="the data set that it was trained on")
    parser.add_argument("--pictures", action="append", default=[], metavar="NAME=PATH", help="more pictures; may be repeated")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        figures = compare_version(chosen.version, chosen.data, dict(_named(each) for each in chosen.pictures))
    except DermqError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    noted = figures["noted"]
    print(as_table(figures))
    print(f"\nbest: {figures['method']}; noted of validation {noted['validation']:.2%}, of test {noted['test']:.2%}")
    return 0


def _named(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if not path:
        raise InvalidRequestError(f"--pictures {text}: expected NAME=PATH")
    return name, Path(path)


if __name__ == "__main__":
    sys.exit(main())
