"""`python -m benchmarks.large --items 10000 1000000`: a large job through its whole life, beside a small one.

For each number of items: a ZIP of drawn pictures of 28 pixels, and `dermq up` on SQLite in a folder of its own, with a model
that costs next to nothing. The job is submitted by path, cancelled when half of its rows are there, retried, read to its end as
CSV, and deleted. With --patience-s each step that waits for rows ends after so many seconds, with those that are there. Printed
is one JSON object for each: seconds of each step, and the peak of each process's memory (proportional set size, MB). Seconds
depend on who else uses the machine; memory does not.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from benchmarks.memory import MemorySampler
from benchmarks.service import stack
from cli.stack.state import load_state
from tests.support.tiny_model import export_tiny_model_apart

_SHADES = 64


@dataclass
class Life:
    """What one job's life took."""

    client: httpx2.Client
    seconds: dict[str, float] = field(default_factory=dict)
    slowest_s: float = 0.0  # of all looks at the job
    patience_s: float = math.inf  # of each step that waits for rows

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Note how long a step takes."""
        began = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - began, 1)
        print(f"  {name}: {self.seconds[name]} s", flush=True)

    def look(self, url: str) -> dict[str, Any]:
        """The job as it stands."""
        began = time.monotonic()
        job: dict[str, Any] = self.client.get(url).raise_for_status().json()
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        return job

    def wait(self, url: str, *, state: str = "", rows: int = 0) -> dict[str, Any]:
        """Until the job is in a state, or has so many rows; those that are there, if it takes too long to get them."""
        deadline = time.monotonic() + (self.patience_s if rows else math.inf)
        while True:
            job = self.look(url)
            if job["state"] == state or (rows and job["counts"]["succeeded"] >= rows) or time.monotonic() > deadline:
                return job
            if job["state"] in ("failed", "succeeded"):
                raise RuntimeError(
                    f"the job ended as {job['state']} while {state or f'{rows} rows'} was awaited: {job['error']}"
                )
            time.sleep(0.5)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--patience-s", type=float, default=math.inf)
    chosen = parser.parse_args()
    for items in chosen.items:
        with tempfile.TemporaryDirectory(prefix="dermq-large-", dir="/var/tmp") as folder:
            print(json.dumps(measure(Path(folder), items, chosen.patience_s)), flush=True)


def measure(folder: Path, items: int, patience_s: float) -> dict[str, Any]:
    """One stack, one job."""
    archive = write_pictures(folder / "pictures.zip", items)
    data = folder / "data"
    export_tiny_model_apart(data / "models" / "tiny", 1)
    data.chmod(0o700)
    with stack(data, {"DERMQ_API_SOURCE_ROOTS": str(folder)}):
        state = load_state(data / "state.json")
        if state is None:
            raise RuntimeError("the stack left no state.json")
        with MemorySampler(data / "state.json") as sampler, httpx2.Client(base_url=state.url, timeout=600) as client:
            life = Life(client, patience_s=patience_s)
            run(life, archive, items, data)
        peaks = {name: round(peak, 1) for name, peak in sorted(sampler.peak_mb.items())}
    return {"items": items, "seconds": life.seconds, "slowest_look_s": round(life.slowest_s, 2), "peak_mb": peaks}


def run(life: Life, archive: Path, items: int, data: Path) -> None:
    """The life of a job: created, cancelled half-way, retried, exported, deleted."""
    client = life.client
    with life.step("accepted"):
        made = client.post("/v1/jobs", json={"source": str(archive), "model": "tiny"}).raise_for_status().json()
    url = f"/v1/jobs/{made['id']}"
    with life.step("prepared"):
        life.wait(url, state="running")
    with life.step("half of the rows"):
        life.wait(url, rows=items // 2)
    with life.step("cancelled"):
        client.post(f"{url}/cancel").raise_for_status()
        job = life.wait(url, state="cancelled")
    print(f"  rows at the cancel: {job['counts']}", flush=True)
    with life.step("retry taken"):
        client.post(f"{url}/retry").raise_for_status()
    with life.step("the rest of the rows"):
        job = life.wait(url, state="succeeded", rows=items)
    if job["state"] == "running":
        client.post(f"{url}/cancel").raise_for_status()
        job = life.wait(url, state="cancelled")
    rows = job["counts"]["succeeded"]
    print(f"  rows at the end: {job['counts']}", flush=True)
    if job["state"] == "succeeded" and rows != items:
        raise RuntimeError(f"expected {items} rows, got {job['counts']}")
    with life.step("exported"):
        lines = export(client, url)
    if lines != rows + 1:
        raise RuntimeError(f"expected {rows + 1} lines, got {lines}")
    size = sum(path.stat().st_size for path in data.glob("dermq.db*"))
    print(f"  ledger: {size / 1e6:.0f} MB", flush=True)
    with life.step("deleted"):
        client.delete(url).raise_for_status()
    with life.step("its rows gone"):
        left = count_rows_left(data / "dermq.db", patience_s=min(60 + items / 200, life.patience_s))
    print(f"  rows left: {left}", flush=True)
    if left and math.isinf(life.patience_s):
        raise RuntimeError(f"expected no row so long after the deletion, got {left}")


def count_rows_left(ledger: Path, *, patience_s: float) -> int:
    """Rows that are there when the sweep has had so many seconds to take those of a deleted job away, in pages."""
    deadline = time.monotonic() + patience_s
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        while (left := int(connection.execute("SELECT count(*) FROM results").fetchone()[0])) and time.monotonic() < deadline:
            time.sleep(0.5)
        return left


def export(client: httpx2.Client, url: str) -> int:
    """Lines of the CSV, read piece by piece."""
    with client.stream("GET", f"{url}/results.csv") as answer:
        answer.raise_for_status()
        return sum(piece.count(b"\n") for piece in answer.iter_bytes())


def write_pictures(path: Path, items: int) -> Path:
    """A ZIP of JPEGs of 28 pixels, in 64 shades."""
    pictures = []
    for shade in range(_SHADES):
        stream = io.BytesIO()
        Image.fromarray(np.full((28, 28, 3), 40 + 2 * shade, np.uint8)).save(stream, "JPEG", quality=80)
        pictures.append(stream.getvalue())
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number in range(items):
            archive.writestr(f"{number // 10_000:03}/{number:07}.jpg", pictures[number % _SHADES])
    return path


if __name__ == "__main__":
    main()
