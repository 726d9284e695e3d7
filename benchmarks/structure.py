"""The shape of the code in figures: files, lines, and how long functions are, per package.

    python -m benchmarks.structure            the working tree
    python -m benchmarks.structure fa14956    a commit; several make several tables

Counted are all Python files but generated ones. A function's lines go from `def` to its last line, docstring included.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("api", "cli", "core", "serving", "training", "worker")
SHORT_LINES = 25


@dataclass
class Figures:
    """What one package consists of. All sizes in lines."""

    files: list[int] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)

    def add(self, source: str) -> None:
        """Count one file."""
        self.files.append(len(source.splitlines()))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.functions.append((node.end_lineno or node.lineno) - node.lineno + 1)

    def row(self, name: str) -> str:
        """One line of the table."""
        if not self.files:
            return f"| {name} | 0 | 0 | | |"
        short = sum(lines <= SHORT_LINES for lines in self.functions)
        share = f"{short / len(self.functions):.1%} of {len(self.functions):,}" if self.functions else ""
        return f"| {name} | {len(self.files)} | {sum(self.files):,} | {median(self.files):.0f} / {max(self.files)} | {share} |"


def measure(sources: Iterator[tuple[str, str]]) -> dict[str, Figures]:
    """Figures of each package and of all together.

    Args:
        sources: path below the repository's root and text of each file.
    """
    found = {name: Figures() for name in (*PACKAGES, "all")}
    for path, source in sources:
        package = path.split("/")[0]
        if package in PACKAGES and not path.endswith("_pb2.py"):
            found[package].add(source)
            found["all"].add(source)
    return found


def table(figures: dict[str, Figures]) -> str:
    """The figures as Markdown."""
    head = [f"| package | files | lines | median / max lines | functions ≤ {SHORT_LINES} lines |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(each.row(name) for name, each in figures.items())])


def working_tree() -> Iterator[tuple[str, str]]:
    """The files as they lie here."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_text()


def commit(revision: str) -> Iterator[tuple[str, str]]:
    """The files of a commit."""
    archive = subprocess.run(["git", "archive", revision, *PACKAGES], cwd=ROOT, check=True, capture_output=True)  # noqa: S607 - git from the PATH
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(".py") else None
            if file is not None:
                yield member.name, file.read().decode()


def main() -> None:
    """Print a table for each commit, or for the working tree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="measure these instead of the working tree")
    for revision in parser.parse_args().commits or [""]:
        print(f"\n{revision or 'working tree'}\n")
        print(table(measure(commit(revision) if revision else working_tree())))


if __name__ == "__main__":
    main()
