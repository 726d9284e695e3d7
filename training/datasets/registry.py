"""Opens a data set by the name an experiment gives, or by what lies at a path."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from core.errors import InvalidRequestError
from training.datasets.base import Dataset
from training.datasets.ham10000 import CLASSES as HAM_CLASSES

SHARED = Path("../shared/data")
DATASETS: dict[str, tuple[str, str, Path]] = {  # name → module, loader, where it lies by default
    "ham10000": ("training.datasets.ham10000", "load_ham10000", SHARED / "ham10000"),
    "combined": ("training.datasets.combined", "load_combined", SHARED),
    "hmnist": ("training.datasets.hmnist", "load_hmnist", SHARED / "hmnist"),
    "isic9": ("training.datasets.folders", "load_isic9", SHARED / "isic9"),
    "folders": ("training.datasets.folders", "load_folders", Path()),
    "manifest": ("training.datasets.manifest", "load_manifest", Path()),
}

ISIC9_CLASSES = (
    "actinic keratosis",
    "basal cell carcinoma",
    "dermatofibroma",
    "melanoma",
    "nevus",
    "pigmented benign keratosis",
    "seborrheic keratosis",
    "squamous cell carcinoma",
    "vascular lesion",
)
CLASSES = dict.fromkeys(("ham10000", "hmnist", "combined"), HAM_CLASSES) | {"isic9": ISIC9_CLASSES}  # in no order


def load_dataset(name: str, path: Path | None = None) -> Dataset:
    """The data set of this name, or of another kind if that is what lies at `path`.

    Args:
        name: what the experiment was written for.
        path: where the images are; by default where the project keeps that data set.

    Raises:
        InvalidRequestError: nothing there, or of another form.
    """
    kind = recognise(path) or name if path else name
    if kind not in DATASETS:
        raise InvalidRequestError(f"data set {kind!r}: expected one of {sorted(DATASETS)}")
    module, loader, default = DATASETS[kind]
    load: Callable[[Path], Dataset] = getattr(import_module(module), loader)
    return load(path or default)


def recognise(path: Path) -> str | None:
    """The kind of data set at a path, by its files' names; None where nothing tells.

    Raises:
        InvalidRequestError: there is nothing.
    """
    if not path.exists():
        raise InvalidRequestError(f"{path}: expected a data set, found nothing; check --data")
    if path.is_dir():
        return _recognise_folder(path)
    if "hmnist" in path.name:
        return "hmnist"
    return {".csv": "manifest", ".zip": "folders"}.get(path.suffix.lower())


def _recognise_folder(path: Path) -> str | None:
    if (path / "HAM10000_metadata.csv").is_file():
        return "ham10000"
    if (path / "ham10000").is_dir() and (path / "isic2017").is_dir():
        return "combined"
    if any(path.glob("hmnist_28_28_RGB.csv*")):
        return "hmnist"
    if any(path.glob("isic9*.zip")):
        return "isic9"
    return "folders" if any(child.is_dir() for child in path.iterdir()) else None
