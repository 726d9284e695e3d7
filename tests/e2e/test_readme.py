"""The README's blocks run as they stand, in order, in one shell, as a newcomer would type them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.sample import write_sample_archive
from tests.support.servers import ROOT, free_port

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    return BLOCK.findall((ROOT / "README.md").read_text())


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    commands = [text.strip() for language, text in blocks() if not language]
    assert commands == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{command.split()[1]}:" in makefile for command in commands)


@pytest.mark.timeout(300)
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed (Debian: apt-get install curl)")
def test_the_other_blocks_run(tmp_path: Path) -> None:
    port = str(free_port())
    write_sample_archive(tmp_path / "lesions.zip", images=14)
    script = "\n".join(text for language, text in blocks() if language == "bash").replace("8080", port)
    assert script.count("dermq ") >= 4
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "dermq").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli "$@"\n')
    (programs / "dermq").chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_DATA_HOME": str(tmp_path / "home"),
        "DERMQ_API_PORT": port,
    }
    # Ended by SIGTERM: a shell that is no terminal starts its background jobs with SIGINT ignored.
    whole = f"set -eux\n{script}\nkill -TERM $!\nwait $!\n"
    log = tmp_path / "log"
    with log.open("wb") as output:
        done = subprocess.run(
            ["/bin/bash", "-c", whole], cwd=tmp_path, env=env, stdout=output, stderr=output, timeout=280, check=False
        )
    assert done.returncode == 0, log.read_text()[-6000:]
    assert (tmp_path / "results.csv").read_text().count("\n") >= 18
    assert (tmp_path / "riskiest.csv").read_text().startswith("item,name,status")
    assert (tmp_path / "results.parquet").stat().st_size > 1000
