"""The best in-process loop (benchmarks.inprocess) as a contestant. `--decoder simplejpeg`: with the other decoder."""

from __future__ import annotations

from benchmarks.inprocess import Loop, Plan
from benchmarks.peers.contestant import read_arguments, serve


def main() -> None:
    """Make the loop ready, then run it."""
    workload, folder, chosen = read_arguments(__doc__, "--decoder")
    archive, version = workload.archive(folder), workload.version(folder)
    with Loop(Plan(archive, version, workload.side, workload.batch, chosen.decoder or "pillow")) as loop:
        serve(loop.images, loop.run)


if __name__ == "__main__":
    main()
