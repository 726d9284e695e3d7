"""A model file of another team, opened: one function of one image tensor, whatever framework wrote it.

No code of the file is run: no pickle, no lambda layers. A graph that reads or writes files is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from core.errors import InvalidRequestError

_ADVICE = {
    **dict.fromkeys(
        (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".bin", ".safetensors"),
        "it holds weights, or pickled code, which is never run: write the model as ONNX where it was made "
        "(PyTorch: `torch.onnx.export(model.eval(), example, 'model.onnx', dynamic_axes={'input': {0: 'batch'}})`)",
    ),
    **dict.fromkeys(
        (".h5", ".hdf5"), "the old format may hold code: write it as `.keras` where it was made (`model.save('model.keras')`)"
    ),
    ".tflite": "a converted model cannot be read back: wrap the SavedModel or `.keras` file that it was made from",
    ".pb": "give the folder of the SavedModel; a frozen graph without signatures says nothing of its input",
}


@dataclass(frozen=True)
class Foreign:
    """An opened model."""

    kind: str  # in words: "SavedModel", "Keras file", "ONNX file"
    call: Callable[[Any], Any]  # a tensor of input_shape and input_dtype → the output, [batch, …]
    input_name: str
    input_dtype: Any  # tf.DType
    input_shape: tuple[int | None, ...]  # with the batch; None: open
    output_name: str
    scales_itself: bool = False  # its first layers do: it takes the bytes as they are
    network: Any = None  # a keras.Model of that one output, where the file tells its layers
    owner: Any = None  # whatever must live as long as the function

    @property
    def input_in_words(self) -> str:
        """Name, type and shape, for messages."""
        return f"{self.input_name!r} {self.input_dtype.name} {[side if side is not None else '?' for side in self.input_shape]}"


def open_foreign(path: Path, *, signature: str | None = None, output_name: str | None = None) -> Foreign:
    """Open a SavedModel (a folder), a `.keras` or an `.onnx` file.

    Args:
        path: of the model.
        signature: of a SavedModel that has several.
        output_name: of a model that has several outputs.

    Raises:
        InvalidRequestError: no such file, a kind that cannot be wrapped, or one that holds code; with what to do.
    """
    if not path.exists():
        raise InvalidRequestError(f"{path}: no such file or folder; expected a SavedModel's folder, a .keras or an .onnx file")
    suffix = path.suffix.lower()
    if path.is_dir():
        opened: Foreign = import_module("training.wrapping.savedmodels").open_saved_model(path, signature, output_name)
    elif suffix == ".keras":
        opened = import_module("training.wrapping.kerasfiles").open_keras_file(path, output_name)
    elif suffix == ".onnx":
        opened = import_module("training.wrapping.onnxfiles").open_onnx_file(path, output_name)
    else:
        raise InvalidRequestError(
            f"{path}: expected a SavedModel's folder, a .keras or an .onnx file; {_ADVICE.get(suffix, 'this is none of them')}"
        )
    return opened


def choose_one(names: list[str], wanted: str | None, *, what: str, option: str) -> str:
    """The name that is meant.

    Args:
        names: those that there are.
        wanted: the option's value.
        what: of what, in the plural, for the message.
        option: that says it.

    Raises:
        InvalidRequestError: there is none, or several and none is named.
    """
    if wanted is not None and wanted in names:
        return wanted
    if wanted is None and len(names) == 1:
        return names[0]
    given = f"{wanted!r} is none of them" if wanted is not None else f"name the right one with {option}"
    raise InvalidRequestError(f"{option}: the model has {len(names)} {what}, {sorted(names)}: {given}")
