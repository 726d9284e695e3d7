"""PyTorch state dicts (`.pth`), written without PyTorch: in the ZIP form of today and in the older one."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

MAGIC = 0x1950A86A20F9469CFC6C


@contextmanager
def names_of_torch() -> Iterator[tuple[Any, Any]]:
    """While inside, pickle can write `torch.FloatStorage` and `torch._utils._rebuild_tensor_v2` by name; gives both."""

    def _rebuild_tensor_v2(*arguments: Any) -> Any: ...

    torch, inner = ModuleType("torch"), ModuleType("torch._utils")
    storage = type("FloatStorage", (), {"__module__": "torch"})
    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    vars(torch).update(FloatStorage=storage, _utils=inner)
    vars(inner).update(_rebuild_tensor_v2=_rebuild_tensor_v2)
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    sys.modules.update({"torch": torch, "torch._utils": inner})
    try:
        yield storage, _rebuild_tensor_v2
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


@dataclass
class Storage:
    """The values of one tensor, in C order."""

    key: str
    values: np.ndarray[Any, Any]


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, kind: Any, extra: tuple[Any, ...]) -> None:
        super().__init__(file, protocol=2)
        self.kind, self.extra = kind, extra

    def persistent_id(self, found: Any) -> Any:
        if isinstance(found, Storage):
            return ("storage", self.kind, found.key, "cpu", found.values.size, *self.extra)
        return None


class _Reduced:
    """Pickled as a call of `function` with `arguments`."""

    def __init__(self, function: Any, arguments: tuple[Any, ...]) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def write_state_dict(path: Path, tensors: Mapping[str, np.ndarray[Any, Any]], *, zipped: bool, size: int | None = None) -> None:
    """Writes float32 tensors.

    Args:
        path: the file.
        tensors: by name.
        zipped: today's form.
        size: what the file claims of each tensor's first axis; by default the truth.
    """
    storages = {name: Storage(str(i), array.astype("<f4").ravel()) for i, (name, array) in enumerate(tensors.items())}
    body = io.BytesIO()
    with names_of_torch() as (kind, rebuild):
        entries = OrderedDict()
        for name, array in tensors.items():
            shape = (size, *array.shape[1:]) if size else array.shape
            strides = tuple(step // array.itemsize for step in np.ascontiguousarray(array).strides)
            entries[name] = _Reduced(rebuild, (storages[name], 0, shape, strides, False, OrderedDict()))
        _Pickler(body, kind, () if zipped else (None,)).dump(entries)
    write = _write_zip if zipped else _write_older
    write(path, body.getvalue(), list(storages.values()))


def _write_zip(path: Path, body: bytes, storages: list[Storage]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", body)
        for storage in storages:
            archive.writestr(f"archive/data/{storage.key}", storage.values.tobytes())


def _write_older(path: Path, body: bytes, storages: list[Storage]) -> None:
    with path.open("wb") as file:
        for header in (MAGIC, 1001, {"little_endian": True}):
            pickle.dump(header, file, protocol=2)
        file.write(body)
        pickle.dump([storage.key for storage in storages], file, protocol=2)
        for storage in storages:
            file.write(struct.pack("<q", storage.values.size) + storage.values.tobytes())
