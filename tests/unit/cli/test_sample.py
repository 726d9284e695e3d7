"""The drawn sample archive: what is in it, that it is reproducible, and that core.imaging judges each member as meant."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from cli.sample import draw_lesion, write_sample_archive
from core.errors import ItemError, ItemErrorCode
from core.imaging import decode_image
from core.settings import ImageLimits

CLASSES = ["nv", "mel", "bkl", "bcc", "akiec", "vasc", "df"]
LIMITS = ImageLimits()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.zip"
    write_sample_archive(path, images=15)
    return path


def test_members(sample: Path) -> None:
    with zipfile.ZipFile(sample) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            *(f"{name}/{name}_0001.jpg" for name in CLASSES),
            *(f"{name}/{name}_0002.jpg" for name in CLASSES),
            "nv/nv_0003.jpg",
            "broken/truncated.jpg",
            "broken/notes.jpg",
            "broken/huge.png",
            "__MACOSX/nv/._nv_0001.jpg",
            ".DS_Store",
        ]


def test_every_picture_decodes_at_full_size(sample: Path) -> None:
    with zipfile.ZipFile(sample) as archive:
        for name in archive.namelist()[:15]:
            decoded = decode_image(archive.read(name), height=90, width=120, limits=LIMITS)
            assert (decoded.width, decoded.height) == (600, 450)
            middle, edge = decoded.pixels[35:55, 45:75].astype(int), decoded.pixels[:, 2:6].astype(int)
            assert np.abs(middle.mean((0, 1)) - edge.mean((0, 1))).max() > 10, f"{name}: nothing drawn in the middle"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("broken/truncated.jpg", ItemErrorCode.TRUNCATED),
        ("broken/notes.jpg", ItemErrorCode.NOT_AN_IMAGE),
        ("broken/huge.png", ItemErrorCode.TOO_MANY_PIXELS),
    ],
)
def test_the_broken_ones_fail_with_their_codes(sample: Path, name: str, code: ItemErrorCode) -> None:
    with zipfile.ZipFile(sample) as archive:
        data = archive.read(name)
    with pytest.raises(ItemError) as caught:
        decode_image(data, height=28, width=28, limits=LIMITS)
    assert caught.value.code is code
    assert name != "broken/huge.png" or len(data) < 4096


def test_the_same_seed_draws_the_same_archive(sample: Path, tmp_path: Path) -> None:
    write_sample_archive(tmp_path / "again.zip", images=15)
    assert (tmp_path / "again.zip").read_bytes() == sample.read_bytes()
    write_sample_archive(tmp_path / "other.zip", images=1, seed=1)
    assert zipfile.ZipFile(tmp_path / "other.zip").read("nv/nv_0001.jpg") != zipfile.ZipFile(sample).read("nv/nv_0001.jpg")


def test_no_pictures_leaves_the_broken_members(tmp_path: Path) -> None:
    write_sample_archive(tmp_path / "empty.zip", images=0)
    assert len(zipfile.ZipFile(tmp_path / "empty.zip").namelist()) == 5


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_looks_different_from_plain_skin_for_any_seed(name: str) -> None:
    for seed in range(3):
        picture = np.asarray(draw_lesion(name, np.random.default_rng(seed))).astype(int)
        assert picture.shape == (450, 600, 3)
        assert picture[150:300, 200:400].std((0, 1)).max() > 12
