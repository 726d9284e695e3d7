"""`python -m benchmarks.fairness`: a job of 50 images alone and behind two giants, and `/v1/classify` meanwhile.

On the real one-machine stack. Alone and behind alternate, so that a busy minute of the machine hits both. Pictures are drawn.
The small job's time is the ledger's own, from its submission to its end; that of `/v1/classify` is the client's.
With `--tenants` the giants belong to two tenants and run to their ends, and the small job is a third one's.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

from benchmarks import service
from cli.stack.state import load_state
from core.db.engine import open_engine
from core.settings import DatabaseSettings
from tests.support.keyed import Keys, client_of

ENDED = ("succeeded", "failed", "cancelled")
DRAWN = 40  # different pictures; an archive holds them again and again


@dataclass
class Figures:
    """Seconds of one kind of round."""

    small: list[float] = field(default_factory=list)
    classify: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--giants", type=int, default=2)
    parser.add_argument("--giant-items", type=int, default=20_000)
    parser.add_argument("--small-items", type=int, default=50)
    parser.add_argument("--model", type=Path, default=None, help="a SavedModel version folder; default: the starter")
    parser.add_argument("--tenants", action="store_true", help="between tenants: do the giants of two end together?")
    parser.add_argument("--classifications", type=int, default=10, help="in a round")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dermq-bench-") as name:
        folder = Path(name)
        pictures = list(map(draw, range(DRAWN)))
        write_archive(folder / "giant.zip", pictures, chosen.giant_items)
        write_archive(folder / "small.zip", pictures, chosen.small_items)
        chosen.name = "starter" if chosen.model is None else "bench"
        if chosen.model is not None:
            shutil.copytree(chosen.model, folder / "data" / "models" / "bench" / "1")
        with service.stack(folder / "data", {"DERMQ_API_SOURCE_ROOTS": name}):
            state = load_state(folder / "data" / "state.json")
            if state is None:
                raise RuntimeError("the stack is ready, but wrote no state")
            if chosen.tenants:
                measure_tenants(state.url, folder, chosen)
                return
            with httpx2.Client(base_url=state.url, timeout=60.0) as client:
                alone, behind = measure(client, folder, pictures[0], chosen)
    report(alone, behind, chosen.giants)


def measure(client: httpx2.Client, folder: Path, picture: bytes, chosen: argparse.Namespace) -> tuple[Figures, Figures]:
    """Rounds alone and behind the giants, in turn."""
    alone, behind = Figures(), Figures()
    for _ in range(2):  # processes and model warm up
        run_small(client, folder, chosen.name)
        classify(client, picture, chosen.name, 2)
    for number in range(chosen.rounds):
        alone.small.append(run_small(client, folder, chosen.name))
        alone.classify += classify(client, picture, chosen.name, chosen.classifications)
        giants = [submit(client, folder / "giant.zip", chosen.name) for _ in range(chosen.giants)]
        wait_for(client, giants, lambda job: job["counts"]["succeeded"] > 0)
        behind.small.append(run_small(client, folder, chosen.name))
        behind.classify += classify(client, picture, chosen.name, chosen.classifications)
        if any(client.get(f"/v1/jobs/{each}").json()["state"] != "running" for each in giants):
            raise RuntimeError("a giant has ended within the round: give it more items (--giant-items)")
        for each in giants:
            client.post(f"/v1/jobs/{each}/cancel").raise_for_status()
        wait_for(client, giants, lambda job: job["state"] in ENDED)
        seconds = f"alone {alone.small[-1]:6.3f} s, behind {behind.small[-1]:6.3f} s"
        print(f"round {number + 1}: {seconds}, load {os.getloadavg()[0]:.1f}", flush=True)
    return alone, behind


def measure_tenants(url: str, folder: Path, chosen: argparse.Namespace) -> None:
    """Rounds of a giant of each of two tenants, submitted one after the other, and the small job of a third. Printed."""
    engine = open_engine(f"sqlite:///{folder / 'data' / 'dermq.db'}", DatabaseSettings())
    keys = Keys(engine)
    first, second, third = (client_of(url, keys.make(name)) for name in ("first", "second", "third"))
    run_small(third, folder, chosen.name)  # processes and model warm up
    ratios, times = [], []
    for number in range(chosen.rounds):
        alone = run_small(third, folder, chosen.name)
        giants = [(client, submit(client, folder / "giant.zip", chosen.name)) for client in (first, second)]
        for client, job_id in giants:
            wait_for(client, [job_id], lambda job: job["counts"]["succeeded"] > 0)
        between = run_small(third, folder, chosen.name)
        ended = [wait_for(client, [job_id], lambda job: job["state"] in ENDED)[0]["timestamps"] for client, job_id in giants]
        began = min(datetime.fromisoformat(stamps["queued"]) for stamps in ended)
        ends = [(datetime.fromisoformat(stamps["succeeded"]) - began).total_seconds() for stamps in ended]
        ratios.append(max(ends) / min(ends))
        times.append(between / alone)
        print(
            f"round {number + 1}: giants end after {ends[0]:.1f} and {ends[1]:.1f} s, {ratios[-1]:.2f}; "
            f"small {alone:.2f} s alone, {between:.2f} s between, {times[-1]:.2f}; load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    print(f"medians: giants' ends {statistics.median(ratios):.2f}, the small job {statistics.median(times):.2f}")
    engine.dispose()


def run_small(client: httpx2.Client, folder: Path, model: str) -> float:
    """One small job; returns seconds from its submission to its end."""
    job_id = submit(client, folder / "small.zip", model)
    [job] = wait_for(client, [job_id], lambda job: job["state"] in ENDED)
    if job["state"] != "succeeded":
        raise RuntimeError(f"the small job ended as {job['state']}: {job['error']}")
    stamps = job["timestamps"]
    return (datetime.fromisoformat(stamps["succeeded"]) - datetime.fromisoformat(stamps["queued"])).total_seconds()


def submit(client: httpx2.Client, archive: Path, model: str) -> str:
    """The id of a new job on an archive of this machine."""
    answer = client.post("/v1/jobs", json={"source": str(archive), "model": model})
    answer.raise_for_status()
    return str(answer.json()["id"])


def wait_for(client: httpx2.Client, ids: Sequence[str], is_there: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The jobs, once it is true of all of them."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        jobs = [client.get(f"/v1/jobs/{each}").json() for each in ids]
        if all(map(is_there, jobs)):
            return jobs
        time.sleep(0.05)
    raise TimeoutError(f"jobs {', '.join(ids)} did not come so far within 300 s")


def classify(client: httpx2.Client, picture: bytes, model: str, times: int) -> list[float]:
    """Seconds of single images, one after the other."""
    found = []
    for _ in range(times):
        began = time.monotonic()
        client.post(
            "/v1/classify", params={"model": model}, content=picture, headers={"content-type": "image/jpeg"}
        ).raise_for_status()
        found.append(time.monotonic() - began)
    return found


def draw(seed: int) -> bytes:
    """A JPEG of 200 x 150 pixels, of soft noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (15, 20, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((200, 150), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_archive(path: Path, pictures: Sequence[bytes], items: int) -> None:
    """A ZIP of so many members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number in range(items):
            archive.writestr(f"{number:07}.jpg", pictures[number % len(pictures)])


def report(alone: Figures, behind: Figures, giants: int) -> None:
    """Least, median and most of all rounds, and the ratios of the medians."""
    print()
    for what in ("small", "classify"):
        before, after = (getattr(each, what) for each in (alone, behind))
        for where, seconds in (("alone", before), (f"behind {giants}", after)):
            low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
            print(f"{what:<9} {where:<9} min {low:6.3f} s   median {middle:6.3f} s   max {high:6.3f} s   of {len(seconds)}")
        print(f"{what:<9} behind / alone, medians: {statistics.median(after) / statistics.median(before):.2f}")


if __name__ == "__main__":
    main()
