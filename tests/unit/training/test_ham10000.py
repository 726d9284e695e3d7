"""HAM10000 in its own form, on a small copy of that form; the real one where it is there."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import ConfigurationError, InvalidRequestError
from training.cache import load_pixels
from training.datasets.ham10000 import CLASSES, METADATA_NAME, load_ham10000, merge_groups, read_metadata
from training.splits import PARTS, split_grouped

ROWS = [  # lesion, image, diagnosis
    ("HAM_1", "ISIC_1", "nv"),
    ("HAM_1", "ISIC_2", "nv"),
    ("HAM_2", "ISIC_3", "mel"),
    ("HAM_3", "ISIC_4", "nv"),
]


def write_metadata(root: Path) -> None:
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization"]
    lines += [f"{lesion},{image},{dx},histo,80.0,male,scalp" for lesion, image, dx in ROWS]
    (root / "HAM10000_metadata.csv").write_text("\n".join(lines) + "\n")


def jpeg(grey: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.full((15, 20, 3), grey, np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "ham"
    root.mkdir()
    write_metadata(root)
    return root


def write_zip(root: Path, greys: dict[str, int]) -> None:
    with zipfile.ZipFile(root / "images.zip", "w") as archive:
        for name, grey in greys.items():
            archive.writestr(f"part_1/{name}.jpg", jpeg(grey))


def test_reads_a_zip_in_the_order_of_the_metadata(root: Path) -> None:
    write_zip(root, {"ISIC_4": 40, "ISIC_3": 30, "ISIC_2": 20, "ISIC_1": 10})
    dataset = load_ham10000(root)
    assert [sample.label for sample in dataset.samples] == ["nv", "nv", "mel", "nv"]
    assert dataset.samples[0].attributes == {"age": "80.0", "sex": "male", "site": "scalp"}
    pixels = load_pixels(dataset, height=8, width=10)
    assert pixels.shape == (4, 8, 10, 3)
    np.testing.assert_allclose(pixels.mean(axis=(1, 2, 3)), [10, 20, 30, 40], atol=1)


def test_reads_folders_just_the_same(root: Path) -> None:
    for number, (_, image, _dx) in enumerate(ROWS):
        folder = root / f"part_{number % 2}"
        folder.mkdir(exist_ok=True)
        (folder / f"{image}.jpg").write_bytes(jpeg(10 * number))
    pixels = load_pixels(load_ham10000(root), height=4, width=4)
    np.testing.assert_allclose(pixels.mean(axis=(1, 2, 3)), [0, 10, 20, 30], atol=1)


def test_the_cache_follows_the_content(root: Path) -> None:
    greys = dict.fromkeys(("ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4"), 50)
    write_zip(root, greys)
    assert load_pixels(load_ham10000(root), height=4, width=4)[0].mean() == pytest.approx(50, abs=1)
    write_zip(root, greys | {"ISIC_1": 200})
    assert load_pixels(load_ham10000(root), height=4, width=4)[0].mean() == pytest.approx(200, abs=1)


def test_a_cache_that_has_no_place_is_told_before_images_are_decoded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zip(root, dict.fromkeys(("ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4"), 50))
    dataset = load_ham10000(root)
    (root / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(root / "file"))
    with pytest.raises(ConfigurationError, match=r"cannot be made: Not a directory; set XDG_CACHE_HOME to a folder"):
        load_pixels(dataset, height=4, width=4)
    monkeypatch.setenv("XDG_CACHE_HOME", "~no-such-user")
    with pytest.raises(ConfigurationError, match=r"~no-such-user/dermq cannot be found: .*; set XDG_CACHE_HOME"):
        load_pixels(dataset, height=4, width=4)


def test_a_missing_image_is_named(root: Path) -> None:
    write_zip(root, {"ISIC_1": 1, "ISIC_2": 1, "ISIC_3": 1})
    with pytest.raises(InvalidRequestError, match=r"1 of 4 images .* ISIC_4"):
        load_ham10000(root)


def test_missed_pairs_join_their_lesions(root: Path) -> None:
    write_zip(root, dict.fromkeys(("ISIC_1", "ISIC_2", "ISIC_3", "ISIC_4"), 50))
    (root / "ham10000_missed_duplicate_pairs.csv").write_text(
        "image_a,image_b,dx_a,dx_b,lesion_a,lesion_b\nx,y,nv,nv,HAM_3,HAM_1\n"
    )
    assert [sample.group for sample in load_ham10000(root).samples] == ["HAM_1", "HAM_1", "HAM_2", "HAM_1"]


def test_joined_groups_may_form_chains() -> None:
    assert merge_groups("abcd", [("d", "c"), ("c", "b"), ("x", "a")]) == {"a": "a", "b": "b", "c": "b", "d": "b"}


def test_the_real_set_has_its_published_numbers(shared_data: Path) -> None:
    dataset = load_ham10000(shared_data / "ham10000")
    assert len(dataset) == 10_015
    counts = np.bincount(dataset.label_indices())
    assert dict(zip(dataset.classes, counts.tolist(), strict=True)) == {
        "akiec": 327,
        "bcc": 514,
        "bkl": 1099,
        "df": 115,
        "mel": 1113,
        "nv": 6705,
        "vasc": 142,
    }
    assert len({sample.group for sample in dataset.samples}) == 7470 - 18
    split = split_grouped(dataset, seed=7)
    group_of = {sample.id: sample.group for sample in dataset.samples}
    groups = [{group_of[key] for key in split.part(part)} for part in PARTS]
    assert not (groups[0] & groups[1])
    assert not (groups[0] & groups[2])
    assert not (groups[1] & groups[2])


def test_oversampling_before_the_split_copies_86_per_cent_of_the_test_rows(shared_data: Path) -> None:
    """What docs/models/published.md says of `cnn28-oversampled`."""
    from training.splits import random_parts
    from training.targets import oversampled

    samples = read_metadata(shared_data / "ham10000" / METADATA_NAME)
    labels = np.array([CLASSES.index(sample.label) for sample in samples])
    rows = oversampled(labels, seed=42)
    train, test = random_parts([str(i) for i in range(len(rows))], share=0.2, seed=42)
    copied = np.isin(rows[[int(i) for i in test]], rows[[int(i) for i in train]])
    assert 100 * copied.mean() == pytest.approx(86.2, abs=0.15)
