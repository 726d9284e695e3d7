"""`python -m benchmarks.versions serving/models/starter`: what an image costs with each version of a model, in turns.

One embedded server loads all versions. In each round every version gets the same number of drawn pictures, in batches.
Novelty is asked for where the version has it. Printed are CPU milliseconds of the server for an image, and images per second by
the clock: least, median and most of the rounds; and the ratio of the median CPU times to those of the version named first.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.peers.contestant import read_stat
from benchmarks.serving import embedded
from core.errors import ModelNotFoundError, ServingUnavailableError
from core.modelspec import ModelSpec
from serving.client import PendingPrediction, PredictClient, VersionStatus
from serving.lifecycle.configfile import generate
from serving.repository import ModelRepository


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model, with a folder for each version")
    parser.add_argument("versions", type=int, nargs="*", default=[2, 3])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=8, help="of each version in each round")
    parser.add_argument("--batch", type=int, default=64, help="images in each batch")
    parser.add_argument("--in-flight", type=int, default=3, help="batches that are sent at once")
    chosen = parser.parse_args()
    with served(chosen.model.resolve(), chosen.versions) as (client, pid):
        figures = measure(client, pid, chosen)
    first = statistics.median(cpu for cpu, _ in figures[chosen.versions[0]])
    for version, rounds in figures.items():
        cpu, rate = ([each[place] for each in rounds] for place in (0, 1))
        median = statistics.median(cpu)
        print(
            f"version {version}: {min(cpu):.2f} / {median:.2f} / {max(cpu):.2f} ms of CPU an image "
            f"({median / first:.2f} of version {chosen.versions[0]}), "
            f"{min(rate):.0f} / {statistics.median(rate):.0f} / {max(rate):.0f} images/s"
        )


def measure(client: PredictClient, pid: int, chosen: argparse.Namespace) -> dict[int, list[tuple[float, float]]]:
    """CPU milliseconds an image and images per second of each round, by version."""
    specs = {version: client.describe(chosen.model.name, version=version).spec for version in chosen.versions}
    figures: dict[int, list[tuple[float, float]]] = {version: [] for version in chosen.versions}
    count = chosen.batches * chosen.batch

    def cpu_s() -> float:
        return read_stat(Path(f"/proc/{pid}"))[1]

    for number in range(chosen.rounds + 1):
        for version in sorted(chosen.versions, reverse=bool(number % 2)):
            images = np.random.default_rng(number).integers(0, 256, _shape(chosen.batch, specs[version]), dtype=np.uint8)
            began, used = time.perf_counter(), cpu_s()
            ask(client, chosen, version, specs[version], images)
            if number:  # the first round loads and optimises the graphs
                seconds = time.perf_counter() - began
                figures[version].append((1000 * (cpu_s() - used) / count, count / seconds))
    return figures


def ask(
    client: PredictClient, chosen: argparse.Namespace, version: int, spec: ModelSpec, images: npt.NDArray[np.uint8]
) -> None:
    """All batches of a round, some at once."""
    novelty = spec.novelty is not None
    pending: list[PendingPrediction] = []
    for number in range(chosen.batches):
        if number >= chosen.in_flight:
            pending.pop(0).answer()
        pending.append(client.predict_async(chosen.model.name, version, images, novelty=novelty))
    for each in pending:
        each.answer()


def _shape(batch: int, spec: ModelSpec) -> tuple[int, int, int, int]:
    return batch, spec.input_height, spec.input_width, 3


def states(client: PredictClient, model: str) -> list[VersionStatus]:
    """Of the versions that the server knows by now."""
    try:
        return client.model_status(model)
    except (ModelNotFoundError, ServingUnavailableError):  # it has only just begun
        return []


@contextmanager
def served(base: Path, versions: list[int]) -> Iterator[tuple[PredictClient, int]]:
    """The embedded server with these versions, all loaded, and its process."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "models.config"
        generate(ModelRepository(base.parent)).with_versions(base.name, versions).write(config)
        with embedded(f"--model_config_file={config}", "--allow_version_labels_for_unavailable_models") as (client, process):
            while process.poll() is None and [each.state for each in states(client, base.name)] != ["AVAILABLE"] * len(
                versions
            ):
                time.sleep(0.2)
            yield client, process.pid


if __name__ == "__main__":
    main()
