"""`python -m benchmarks.hostile`: what attacks cost. Real stack, `dermq screen`; tables in Markdown.

First an archive of 2,000 members of which 5 % are hostile, each row held against what it must say. Then archives that are an
attack as a whole, one job each. Printed are outcomes, seconds, and the peak memory of each process (proportional set size).
Ends with 1 if a row is not what it must be.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import service
from benchmarks.memory import MemorySampler
from tests.support.hostile import ATTACKS, HostileArchive, draw_archive, hostile_archives


@dataclass(frozen=True)
class Screened:
    """One job, as `dermq screen` leaves it."""

    job: dict[str, Any]
    rows: list[dict[str, str]]
    seconds: float
    peak_mb: dict[str, float]

    @property
    def outcome(self) -> str:
        """The job's state, and how many rows have which code."""
        counts: dict[str, int] = {}
        for row in self.rows:
            word = row["error_code"] or "result"
            counts[word] = counts.get(word, 0) + 1
        said = ", ".join(f"{count:,} {word}" for word, count in sorted(counts.items()))
        error = (self.job["error"] or {}).get("code", "")
        return " ".join(filter(None, [self.job["state"], error, f"({said})" if said else ""]))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=2000)
    parser.add_argument("--hostile", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-archives", action="store_true", help="leave out the archives that are an attack as a whole")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dermq-hostile-") as name:
        folder = Path(name)
        drawn = draw_archive(chosen.members, chosen.hostile, chosen.seed)
        (folder / "members.zip").write_bytes(drawn.data)
        with service.stack(folder / "data", {}):
            screened = screen(folder, folder / "members.zip")
            wrong = report_members(drawn, screened)
            if not chosen.no_archives:
                report_archives(folder)
    return 1 if wrong else 0


def screen(folder: Path, archive: Path) -> Screened:
    """Run `dermq screen` on an archive of the client."""
    out = folder / "results.csv"
    out.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "cli",
        "screen",
        str(archive),
        "--json",
        "--data-dir",
        str(folder / "data"),
        "--out",
        str(out),
    ]
    began = time.monotonic()
    with MemorySampler(folder / "data" / "state.json") as sampler:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    seconds = time.monotonic() - began
    if not done.stdout.strip():
        return Screened({"state": f"refused: {done.stderr.strip()[:100]}", "error": None}, [], seconds, sampler.peak_mb)
    text = out.read_text() if out.exists() else ""
    return Screened(json.loads(done.stdout), list(csv.DictReader(text.splitlines())), seconds, sampler.peak_mb)


def report_members(drawn: HostileArchive, screened: Screened) -> list[str]:
    """Print what each attack led to; returns the names of rows that are wrong."""
    found = {row["name"]: row["error_code"] for row in screened.rows}
    wrong = [name for name, code in drawn.expected.items() if found.get(name) != (code or "")]
    print(f"{len(drawn.expected):,} members in {screened.seconds:.0f} s: {screened.outcome}; wrong: {len(wrong)} {wrong[:5]}\n")
    print("| member | its row |\n|---|---|")
    for attack in ATTACKS:
        print(f"| {attack.name} | {f'`{attack.code}`' if attack.code else 'a result'} |")
    print("\n| process | peak memory, MB |\n|---|---|")
    for process, peak in sorted(screened.peak_mb.items()):
        print(f"| {process} | {peak:.0f} |")
    return wrong


def report_archives(folder: Path) -> None:
    """Print outcome, seconds and the memory of whoever took most, for each archive."""
    print("\n| archive | bytes | outcome | seconds | peak memory, MB |\n|---|---|---|---|---|")
    for attack, (name, data) in hostile_archives().items():
        path = folder / name
        path.write_bytes(data)
        screened = screen(folder, path)
        worst = max(screened.peak_mb, key=lambda process: screened.peak_mb[process] if "serving" not in process else 0.0)
        peak = f"{screened.peak_mb[worst]:.0f} ({worst})"
        print(f"| {attack} | {len(data):,} | {screened.outcome} | {screened.seconds:.0f} | {peak} |", flush=True)
        path.unlink()


if __name__ == "__main__":
    sys.exit(main())
