"""Tensors of a PyTorch state dict (`.pth`), read without PyTorch and without running anything that the file holds.

The file is a pickle, and a pickle can name any function. Here a restricted unpickler knows the few names that a state dict
needs; every other name ends the reading. Both forms are read: the ZIP that PyTorch writes since version 1.6, and the older
sequence of pickles followed by the storages' bytes.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from core.errors import InvalidRequestError

Tensors = dict[str, npt.NDArray[Any]]

_MAGIC = 0x1950A86A20F9469CFC6C  # of the older form (torch/serialization.py, MAGIC_NUMBER)
_DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
}
_REFUSED = (pickle.UnpicklingError, EOFError, KeyError, IndexError, TypeError, ValueError, AttributeError, struct.error)


@dataclass(slots=True)
class _Storage:
    """One flat array of the file. In the older form its bytes come after the pickle that names it."""

    dtype: np.dtype[Any]
    size: int
    data: npt.NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class _Tensor:
    """What a state dict says of one tensor: a view of a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> npt.NDArray[Any]:
        """A copy with the tensor's shape.

        Raises:
            ValueError: the view lies outside the storage.
        """
        data = self.storage.data
        if data is None:
            raise ValueError("a storage has no data")
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        if min(self.offset, *self.shape, *self.strides, 0) < 0 or (0 not in self.shape and last >= len(data)):
            raise ValueError("a tensor lies outside its storage")
        steps = tuple(step * data.itemsize for step in self.strides)
        return np.lib.stride_tricks.as_strided(data[self.offset :], self.shape, steps).copy()


def _rebuild(storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, int(offset), tuple(size), tuple(stride))


class _StateDictUnpickler(pickle.Unpickler):
    """Knows ordered dicts, tensors and storages, and no other name."""

    def __init__(self, file: BinaryIO, storage: Callable[[str, np.dtype[Any], int], _Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """The object of a name that a state dict may use.

        Raises:
            pickle.UnpicklingError: any other name.
        """
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"the name {module}.{name} is not one of a state dict")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage: ("storage", type, key, device, elements[, view])."""
        kind, dtype, key, _, size = pid[:5]
        if kind != "storage" or not isinstance(dtype, np.dtype) or (len(pid) > 5 and pid[5] is not None):
            raise pickle.UnpicklingError(f"a storage of an unknown form: {kind!r}")
        return self._storage(str(key), dtype, int(size))


def read_state_dict(path: Path) -> Tensors:
    """The tensors of a `.pth` file by name.

    Raises:
        InvalidRequestError: not there, or no state dict, or it names something that is no tensor.
    """
    try:
        with path.open("rb") as file:
            found = _read_zip(path) if zipfile.is_zipfile(file) else _read_older(path)
        if not isinstance(found, Mapping) or not all(isinstance(tensor, _Tensor) for tensor in found.values()):
            raise ValueError("its top level is no mapping of names to tensors")
        return {str(name): tensor.array() for name, tensor in found.items()}
    except (OSError, zipfile.BadZipFile, *_REFUSED) as error:
        raise InvalidRequestError(f"{path}: expected a PyTorch state dict (.pth), got something else: {error}") from error


def _read_older(path: Path) -> Any:
    storages: dict[str, _Storage] = {}

    def known(key: str, dtype: np.dtype[Any], size: int) -> _Storage:
        return storages.setdefault(key, _Storage(dtype, size))

    with path.open("rb") as file:
        if _StateDictUnpickler(file, known).load() != _MAGIC:
            raise ValueError("it does not begin as one")
        _StateDictUnpickler(file, known).load()  # the protocol's version
        _StateDictUnpickler(file, known).load()  # byte order and sizes of the machine that wrote it
        found = _StateDictUnpickler(file, known).load()
        for key in _StateDictUnpickler(file, known).load():
            storage = storages[key]
            if struct.unpack("<q", file.read(8))[0] != storage.size:
                raise ValueError(f"storage {key} has another size than its tensors say")
            storage.data = np.frombuffer(file.read(storage.size * storage.dtype.itemsize), storage.dtype)
    return found


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        inside = next(name for name in archive.namelist() if name.endswith("data.pkl")).removesuffix("data.pkl")

        def read(key: str, dtype: np.dtype[Any], size: int) -> _Storage:
            return _Storage(dtype, size, np.frombuffer(archive.read(f"{inside}data/{key}"), dtype, size))

        return _StateDictUnpickler(io.BytesIO(archive.read(f"{inside}data.pkl")), read).load()
