"""`python -m benchmarks.throughput ARCHIVE.zip`: DermQ against the best in-process loop, alternating, in one run.

Both use the same files, the same SavedModel and the same cores. Printed are the seconds of each round, the ratio of the best
rounds, and the peak memory of each process of the stack.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from benchmarks import inprocess, service
from core.modelspec import ModelSpec
from serving.repository import EXTRA, list_versions

STARTER = [*list_versions(Path(__file__).resolve().parents[1] / "serving" / "models" / "starter").values()][
    -1
]  # served as stable


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="a ZIP of JPEGs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, default=STARTER, help="a SavedModel version folder (default: the starter)")
    parser.add_argument(
        "--size", type=int, default=None, help="the model's input height and width, pixels; default: its spec's"
    )
    chosen = parser.parse_args()
    if chosen.size is None:
        chosen.size = ModelSpec.model_validate_json((chosen.model / EXTRA / "spec.json").read_bytes()).input_height
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), chosen)


def measure(folder: Path, chosen: argparse.Namespace) -> None:
    """Alternate rounds of loop and service, so that a busy minute of the machine hits both."""
    data = folder / "data"
    name = "starter"
    if chosen.model != STARTER:
        name = "bench"
        shutil.copytree(chosen.model, data / "models" / name / "1")
    loops: list[float] = []
    runs: list[service.Run] = []
    environment = {"DERMQ_API_SOURCE_ROOTS": f'["{chosen.archive.resolve().parent}"]'}
    for number in range(chosen.rounds):
        loops.append(inprocess.run(chosen.archive, chosen.model, (chosen.size, chosen.size)))
        with service.stack(data, environment):
            runs.append(service.screen(data, chosen.archive, name))
        run = runs[-1]
        print(
            f"round {number + 1}: loop {loops[-1]:6.2f} s ({run.images / loops[-1]:6.0f}/s)   "
            f"dermq {run.seconds:6.2f} s ({run.images / run.seconds:6.0f}/s), of it preparing {run.preparing_s:.2f} s"
        )
    best = min(run.seconds for run in runs)
    print(f"\n{runs[0].images} images; dermq / loop, best rounds: {min(loops) / best:.2f}")
    for process, peak in sorted(runs[-1].peak_mb.items()):
        print(f"  {process:<20} {peak:6.0f} MB")


if __name__ == "__main__":
    main()
