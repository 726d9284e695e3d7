"""The best loop one would write without a service: the upper bound that DermQ's throughput is divided by.

One process per core, each with one thread of TensorFlow, the SavedModel with its variables frozen to constants, the batch that
is best for the model, members read through a memory map, and a shared counter that hands out batches, so that all processes end
together. It keeps rows in SQLite, in one transaction at the end, and it survives nothing and answers nobody.

Two decoders, both to at least twice the model's input by the inverse DCT, then bilinear with antialiasing: "pillow" (its draft)
is what the goals are stated against; "simplejpeg" (libjpeg-turbo without Pillow's decoder around it) is cheaper for small
files. Neither looks at damage: what libjpeg fills in counts as an image.
"""

from __future__ import annotations

import io
import mmap
import multiprocessing
import os
import sqlite3
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, JpegImagePlugin

Row = tuple[str, int, bytes]  # name, index of the best class, probabilities
Decoder = Callable[[bytes, int], Any]
_LOCAL_HEADER = 30


class StoredZip:
    """The members of a ZIP that are stored, as slices of a memory map. No checksum is looked at."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError(f"{path}: expected a ZIP whose members are stored, as make_inputs writes them")
        self.names = [member.filename for member in members]
        self._places = [(member.header_offset, member.file_size) for member in members]
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self.names)

    def read(self, number: int) -> bytes:
        """One member's bytes."""
        offset, size = self._places[number]
        name, extra = struct.unpack_from("<HH", self._map, offset + 26)
        start = offset + _LOCAL_HEADER + name + extra
        return self._map[start : start + size]


def decode_by_pillow(data: bytes, side: int) -> Any:
    """Draft, then bilinear with antialiasing."""
    image: Any = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    image.draft("RGB", (2 * side, 2 * side))
    image = image if image.mode == "RGB" else image.convert("RGB")
    return image.resize((side, side), Image.Resampling.BILINEAR)


def decode_by_simplejpeg(data: bytes, side: int) -> Any:
    """The same scale and the same resize, without Pillow's decoder."""
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
    most = min(width // (2 * side), height // (2 * side))
    scale = next((scale for scale in (8, 4, 2) if most >= scale), 1)
    pixels = simplejpeg.decode_jpeg(data, "RGB", min_width=-(-width // scale), min_height=-(-height // scale))
    image = Image.frombuffer("RGB", pixels.shape[1::-1], pixels, "raw", "RGB", 0, 1)
    return image.resize((side, side), Image.Resampling.BILINEAR)


DECODERS: dict[str, Decoder] = {"pillow": decode_by_pillow, "simplejpeg": decode_by_simplejpeg}


def load_frozen(version: Path, threads: int = 1) -> Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]:
    """A SavedModel as a function of uint8 [batch, height, width, 3], variables frozen to constants."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tensorflow as tf  # noqa: PLC0415 - in the process that uses it
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415
        convert_variables_to_constants_v2,
    )

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    loaded = tf.saved_model.load(str(version))
    frozen = convert_variables_to_constants_v2(loaded.signatures["serving_default"])

    def predict(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        answer: npt.NDArray[np.float32] = frozen(tf.constant(images))[0].numpy()
        return answer

    return predict


def rows_of(names: Sequence[str], probabilities: npt.NDArray[np.float32]) -> list[Row]:
    """What is kept of a batch."""
    best = probabilities.argmax(axis=1).tolist()
    return [(name, label, row.tobytes()) for name, label, row in zip(names, best, probabilities, strict=True)]


def store(folder: Path, rows: Sequence[Row]) -> None:
    """Keep the rows, in one transaction of a new file."""
    path = folder / f"rows-{time.monotonic_ns()}.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE results (name TEXT PRIMARY KEY, label INTEGER, probabilities BLOB)")
        database.executemany("INSERT INTO results VALUES (?, ?, ?)", rows)
        database.commit()


@dataclass(frozen=True, slots=True)
class Plan:
    """What each process does."""

    archive: Path
    version: Path
    side: int  # the model's input height and width, pixels
    batch: int
    decoder: str = "pillow"


def _work(pipe: Connection, counter: Any, plan: Plan) -> None:
    """One process: for each round that the pipe asks for, take batches until there are none left."""
    side, batch, decode = plan.side, plan.batch, DECODERS[plan.decoder]
    predict = load_frozen(plan.version)
    images = np.empty((batch, side, side, 3), np.uint8)
    for size in (batch, 1):
        predict(images[:size])
    members = StoredZip(plan.archive)
    decode(members.read(0), side)
    pipe.send(len(members))
    while pipe.recv():
        rows: list[Row] = []
        while numbers := _take(counter, len(members), batch):
            for row, number in enumerate(numbers):
                images[row] = np.asarray(decode(members.read(number), side))
            rows += rows_of([members.names[number] for number in numbers], predict(images[: len(numbers)]))
        pipe.send(rows)


def _take(counter: Any, total: int, batch: int) -> range:
    """The next batch; smaller ones at the end, so that no process waits long for the others."""
    with counter.get_lock():
        first: int = counter.value
        left = total - first
        counter.value = first + (batch if left > 4 * batch else max(1, min(batch, left // 4, left))) if left > 0 else first
        return range(first, counter.value)


class Loop:
    """The processes of the loop, loaded and warm; `run` takes one round."""

    def __init__(self, plan: Plan) -> None:
        context = multiprocessing.get_context("spawn")
        self._counter = context.Value("i", 0)
        self._folder = tempfile.TemporaryDirectory(prefix="dermq-loop-")
        self._pipes, self._processes = [], []
        for _ in range(os.cpu_count() or 1):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, self._counter, plan))
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self.images = max(pipe.recv() for pipe in self._pipes)  # all say the same, each when it is ready

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pipe in self._pipes:
            pipe.send(False)
        for process in self._processes:
            process.join(30)
        self._folder.cleanup()

    def run(self) -> float:
        """Seconds from the first image to the commit of the last row.

        Raises:
            RuntimeError: rows are missing.
        """
        self._counter.value = 0
        began = time.perf_counter()
        for pipe in self._pipes:
            pipe.send(True)
        rows = [row for pipe in self._pipes for row in pipe.recv()]
        store(Path(self._folder.name), rows)
        seconds = time.perf_counter() - began
        if len(rows) != self.images:
            raise RuntimeError(f"expected {self.images} rows, got {len(rows)}")
        return seconds


def run(archive: Path, model: Path, size: tuple[int, int]) -> float:
    """Seconds of one round, with models loaded and warm before the clock starts."""
    with Loop(Plan(archive, model, size[0], 2 if size[0] > 112 else 128)) as loop:
        return loop.run()
