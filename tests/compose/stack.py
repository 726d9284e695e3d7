"""The stack of docker-compose.yml, built from this checkout and brought up, for tests in a browser.

Two services alone differ from the default: the model server is the one that is built from here, and the port is a free one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.support.servers import ROOT, free_port, wait_until

PROJECT = "dermq-browser-test"
_KEEP = "DERMQ_TEST_KEEP_COMPOSE"  # a folder: the stack stays up with its secrets there, and the next run takes it as it is


@dataclass(frozen=True)
class ComposeStack:
    """A running stack: its address, its first key, and how to ask Compose about it."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *arguments: str) -> str:
        """What `docker compose` says; raises CalledProcessError with its words in the message's notes."""
        command = ["docker", "compose", "--env-file", str(self.folder / "env"), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        return done.stdout

    def first_key(self) -> str:
        """What the service `first-key` printed once."""
        found = re.search(r"dq_live_\w+", self.compose("logs", "--no-log-prefix", "first-key"))
        assert found, "the service first-key has printed no key"
        return found[0]

    def is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/readyz", timeout=15) as answer:  # noqa: S310 - loopback
                return b'"status":"ok"' in answer.read(100)
        except HTTPError:
            return False
        except OSError:
            return False


@contextmanager
def running_compose(folder: Path) -> Iterator[ComposeStack]:
    """The stack, built, up and ready; taken down with its volumes at the end."""
    assert shutil.which("docker"), "these tests need a Docker engine with Compose and buildx"
    kept = os.environ.get(_KEEP)
    folder = Path(kept) if kept else folder
    folder.mkdir(exist_ok=True)
    port_file = folder / "port"
    port = int(port_file.read_text()) if port_file.exists() else free_port()
    port_file.write_text(str(port))
    subprocess.run([ROOT / "deploy" / "make-secrets", folder / "secrets"], check=True, capture_output=True)
    (folder / "env").write_text(
        f"COMPOSE_PROJECT_NAME={PROJECT}\n"
        "COMPOSE_FILE=docker-compose.yml:deploy/compose.embedded-serving.yml\n"
        f"DERMQ_SECRETS_FOLDER={folder / 'secrets'}\n"
        f"DERMQ_API_PUBLISH=127.0.0.1:{port}\n"
    )
    stack = ComposeStack(folder, port)
    try:
        if not (kept and stack.is_ready()):
            stack.compose("build", "api", "worker", "serving")  # each image once: `up --build` builds one for each service
            stack.compose("up", "--detach")
        wait_until(stack.is_ready, timeout_s=600, what="that all parts of the stack are ready", poll_s=2)
        yield stack
    finally:
        if not kept:
            stack.compose("down", "--volumes", "--timeout", "20")
