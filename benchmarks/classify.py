"""`python -m benchmarks.classify ARCHIVE.zip`: one image while somebody waits, idle and during a giant job.

In each round the same image is sent three times: to the API, which classifies it itself; to the API with an error budget, which
it leaves to the queue (the only way there was before); and to the model server alone, by gRPC. So a busy moment of the machine
hits all three. During the giant job the queue's way takes seconds: there it is asked for rarely. Printed are milliseconds, and
ratios.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from benchmarks import service
from cli.stack.state import load_state
from core.imaging import decode_image
from core.settings import ImageLimits
from serving.client import PredictClient

RARELY = 50  # during a giant job, rounds to one of the queue's way


@dataclass
class Times:
    """Seconds of each kind of request, by kind."""

    direct: list[float] = field(default_factory=list)
    queue: list[float] = field(default_factory=list)
    predict: list[float] = field(default_factory=list)
    poll: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="a ZIP of JPEGs: the giant job, and the images that are sent alone")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--model", default="starter")
    chosen = parser.parse_args()
    archive = chosen.archive.resolve()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        with service.stack(data, {"DERMQ_API_SOURCE_ROOTS": f'["{archive.parent}"]'}):
            state = load_state(data / "state.json")
            if state is None or state.url is None:
                raise RuntimeError("the stack has no address")
            with (
                httpx2.Client(base_url=state.url, timeout=120) as client,
                PredictClient(f"127.0.0.1:{state.ports['serving']}") as serving,
            ):
                Benchmark(client, serving, chosen.model, _images(archive)).run(chosen.rounds, archive)


@dataclass
class Benchmark:
    """One stack and the images that it is asked about."""

    client: httpx2.Client
    serving: PredictClient
    model: str
    images: Sequence[bytes]

    def run(self, rounds: int, archive: Path) -> None:
        """Idle first, then during one giant job, as far as it goes."""
        while self._classify(0) is None or self._way(0) != "direct":
            time.sleep(0.2)  # the processes that decode are starting
        idle = Times()
        for number in range(rounds):
            self._round(idle, number, with_queue=True)
        _print("idle", idle)
        job = self.client.post("/v1/jobs", json={"source": str(archive), "model": self.model}).raise_for_status().json()
        while self._state(job["id"]) != "running":
            time.sleep(0.1)
        busy = Times()
        for number in range(rounds):
            self._round(busy, number, with_queue=number % RARELY == RARELY - 1)
            busy.poll.append(_timed(lambda: self._state(job["id"])))
            if self._state(job["id"]) != "running":
                print(f"the giant job ended after {number + 1} rounds")
                break
        _print("during a giant job", busy)

    def _round(self, times: Times, number: int, *, with_queue: bool) -> None:
        times.direct.append(_timed(lambda: self._classify(number)))
        if with_queue:
            times.queue.append(_timed(lambda: self._classify(number, error_budget=1)))
        times.predict.append(self._predict(number))

    def _classify(self, number: int, **parameters: int) -> float | None:
        image = self.images[number % len(self.images)]
        response = self.client.post("/v1/classify", content=image, params={"model": self.model, **parameters})
        return response.raise_for_status().json().get("risk")  # type: ignore[no-any-return]

    def _way(self, number: int) -> str:
        before = self._counted()
        self._classify(number)
        return "direct" if self._counted() > before else "queue"

    def _counted(self) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith('dermq_classifications_total{way="direct"}'))

    def _state(self, job_id: str) -> str:
        return str(self.client.get(f"/v1/jobs/{job_id}").raise_for_status().json()["state"])

    def _predict(self, number: int) -> float:
        described = self.serving.describe(self.model, label="stable")
        spec = described.spec
        decoded = decode_image(
            self.images[number % len(self.images)],
            height=spec.input_height,
            width=spec.input_width,
            resize=spec.resize,
            limits=ImageLimits(),
        )
        return _timed(lambda: self.serving.predict(self.model, described.version, decoded.pixels[None]))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _images(archive: Path) -> list[bytes]:
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.lower().endswith((".jpg", ".jpeg"))]
        return [opened.read(name) for name in names[:20]]


def _quantiles(values: Sequence[float]) -> tuple[float, float]:
    """Median, and what 99 of 100 do not exceed, in milliseconds."""
    ordered = sorted(values)
    return 1000 * statistics.median(ordered), 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def _print(what: str, times: Times) -> None:
    print(f"\n{what}:")
    for name, values in vars(times).items():
        if values:
            middle, late = _quantiles(values)
            print(f"  {name:<8} n {len(values):>4}   p50 {middle:8.1f} ms   p99 {late:8.1f} ms")
    (direct, late), (predict, late_predict) = _quantiles(times.direct), _quantiles(times.predict)
    print(f"  direct less Predict: p50 {direct - predict:.1f} ms, p99 {late - late_predict:.1f} ms")
    if times.queue:
        middle, late_queue = _quantiles(times.queue)
        print(f"  direct / queue: p50 {direct / middle:.2f}, p99 {late / late_queue:.2f}")


if __name__ == "__main__":
    main()
