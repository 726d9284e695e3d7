"""Every form a data set comes in, read in place and recognised by what lies there."""

from __future__ import annotations

import csv
import gzip
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InvalidRequestError
from training.datasets.folders import load_folders, load_isic9
from training.datasets.hmnist import CODES, load_hmnist
from training.datasets.manifest import load_manifest
from training.datasets.registry import load_dataset, recognise


def jpeg(grey: int = 100) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.full((12, 16, 3), grey, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


def write_hmnist(path: Path, labels: list[int]) -> None:
    pixels = np.arange(28 * 28 * 3) % 256
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"pixel{i:04d}" for i in range(len(pixels))] + ["label"])
        for label in labels:
            writer.writerow([*pixels.tolist(), label])


def test_hmnist_codes_are_stored_as_names(tmp_path: Path) -> None:
    write_hmnist(tmp_path / "hmnist_28_28_RGB.csv.gz", [4, 6, 5])
    dataset = load_hmnist(tmp_path)
    assert [sample.label for sample in dataset.samples] == ["nv", "mel", "vasc"]
    assert dataset.label_indices().tolist() == [4, 6, 5]
    assert dataset.pixels is not None
    assert dataset.pixels.shape == (3, 28, 28, 3)
    assert dataset.pixels[0, 0, :2].tolist() == [[0, 1, 2], [3, 4, 5]]  # rows of pixels of three channels
    assert len({sample.group for sample in dataset.samples}) == 3


def test_hmnist_learns_its_lesions_from_the_metadata(tmp_path: Path) -> None:
    write_hmnist(tmp_path / "hmnist_28_28_RGB.csv.gz", [4, 4, 6])
    metadata = tmp_path / "HAM10000_metadata.csv"
    head = "lesion_id,image_id,dx,dx_type,age,sex,localization\n"
    metadata.write_text(head + "L1,I1,nv,histo,5,male,back\nL1,I2,nv,histo,5,male,back\nL2,I3,mel,histo,,female,\n")
    assert [sample.group for sample in load_hmnist(tmp_path).samples] == ["L1", "L1", "L2"]
    metadata.write_text(head + "L1,I1,nv,histo,5,male,back\nL1,I2,mel,histo,5,male,back\nL2,I3,mel,histo,,female,\n")
    with pytest.raises(InvalidRequestError, match="row by row"):
        load_hmnist(tmp_path)


def test_a_csv_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hmnist_28_28_RGB.csv").write_text("pixel0000,label\n1,2\n")
    with pytest.raises(InvalidRequestError, match="2352 pixel columns"):
        load_hmnist(tmp_path)


MEMBERS = ("Train/nevus/A.jpg", "Train/melanoma/B.jpg", "Train/melanoma/B(1).jpg", "Test/nevus/A.jpg")


def write_tree(root: Path) -> None:
    for member in MEMBERS:
        path = root / member
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg())


def test_folders_and_zip_give_the_same(tmp_path: Path) -> None:
    tree, archive = tmp_path / "tree", tmp_path / "tree.zip"
    write_tree(tree)
    with zipfile.ZipFile(archive, "w") as file:
        for member in sorted(MEMBERS):
            file.writestr(member, jpeg())
    from_tree, from_zip = load_folders(tree), load_folders(archive)
    assert from_tree.samples == from_zip.samples
    assert from_tree.classes == ("melanoma", "nevus")
    assert from_tree.malignant == ("melanoma",)
    known = {sample.id: sample for sample in from_tree.samples}
    assert known["Test/nevus/A.jpg"].part == "test"
    assert known["Test/nevus/A.jpg"].group == known["Train/nevus/A.jpg"].group
    assert known["Train/melanoma/B(1).jpg"].group == known["Train/melanoma/B.jpg"].group


def test_folders_without_parts_and_errors(tmp_path: Path) -> None:
    (tmp_path / "nevus").mkdir()
    (tmp_path / "nevus" / "a.png").write_bytes(b"")
    with pytest.raises(InvalidRequestError, match="two classes"):
        load_folders(tmp_path)
    (tmp_path / "stray.png").write_bytes(b"")
    with pytest.raises(InvalidRequestError, match=r"stray\.png"):
        load_folders(tmp_path)


def test_manifest(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jpg").write_bytes(jpeg())
    manifest = tmp_path / "list.csv"
    manifest.write_text("path,label,group,split,age\na.jpg,mel,p1,train,40\nb.jpg,nv,,test,\n")
    first, second = load_manifest(manifest).samples
    assert (first.label, first.group, first.part, first.attributes) == ("mel", "p1", "train", {"age": "40"})
    assert second.group == "b.jpg"
    manifest.write_text("path,label\na.jpg,mel\nc.jpg,nv\n")
    with pytest.raises(InvalidRequestError, match=r"1 of 2 files .*c\.jpg"):
        load_manifest(manifest)


def test_what_lies_there_decides(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    write_tree(tree)
    assert recognise(tree) == "folders"
    assert load_dataset("ham10000", tree).name == "folders"
    (tmp_path / "hmnist_28_28_RGB.csv").write_text("")
    assert recognise(tmp_path) == "hmnist"
    with pytest.raises(InvalidRequestError, match="--data"):
        recognise(tmp_path / "nowhere")


def test_the_real_sets(shared_data: Path) -> None:
    nine = load_isic9(shared_data / "isic9")
    assert (len(nine), len(nine.classes)) == (2359, 9)
    assert sum(sample.part == "test" for sample in nine.samples) == 118
    rows = load_hmnist(shared_data / "hmnist")
    assert len(rows) == 10_015
    assert rows.classes == CODES
    assert np.bincount(rows.label_indices()).tolist() == [327, 514, 1099, 115, 6705, 142, 1113]
    assert len({sample.group for sample in rows.samples}) == 7470 - 18
