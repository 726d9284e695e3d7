"""`python docs/images/draw_screen.py`: run the demo on a pseudo-terminal and keep what it shows as screen.svg."""

from __future__ import annotations

import io
import os
import pty
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 92


def capture(command: list[str]) -> str:
    """The terminal output of a command that believes to talk to a person."""
    output = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 65536)
        output.extend(data)
        return data

    os.environ |= {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    pty.spawn(command, read)
    return output.decode(errors="replace").replace("\r\n", "\n")


def main() -> None:
    """Draw it."""
    with tempfile.TemporaryDirectory() as folder:
        shown = capture([sys.executable, "-m", "cli", "demo", "--once", "--data-dir", folder])
    start = re.search(r"\d+ items · ", shown)
    if start is None:
        raise SystemExit(f"expected the demo's summary, got:\n{shown}")
    summary = shown[start.start() :].split("Results:")[0]
    console = Console(record=True, width=COLUMNS + 8, file=io.StringIO(), force_terminal=True)
    console.print("[bold]$ dermq screen sample.zip[/bold]\n")
    console.print(Text.from_ansi(summary.rstrip()))
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="dermq"), flags=re.DOTALL)  # no fonts from the network
    Path(__file__).with_name("screen.svg").write_text(svg)


if __name__ == "__main__":
    main()
