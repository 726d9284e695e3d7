"""A disk without room ends neither the supervisor nor its parts, and the stop works, too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

# The limit on a file's size stands for the full disk: both fail each write with an OSError, and this one needs no mount.
SCRIPT = """
import json, os, resource, signal, sys, time
from pathlib import Path

from cli.stack.folder import DataFolder
from cli.stack.parts import Addresses, Part
from cli.stack.stack import Stack, StackOptions, _new_state
from cli.stack.state import load_state

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
notes = []
folder = DataFolder(Path(sys.argv[1]))
folder.create()
stack = Stack(folder, StackOptions(), note=notes.append, progress=lambda text: None)
stack._lock.acquire()
stack._state = _new_state("an id", Addresses(1, 2, 3, "x"), ())
stack._supervisor = stack._make_supervisor(dict(os.environ))
stack._supervisor.begin()
stack._supervisor.launch(Part("worker", (sys.executable, "-c", "import time; time.sleep(60)"), 5.0))


def soon(find):
    deadline = time.monotonic() + 60
    while not (found := find()):
        assert time.monotonic() < deadline, notes
        time.sleep(0.02)
    return found


def room(is_there):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard if is_there else 0, hard))


def stored():
    state = load_state(folder.state)
    return state.processes.get("worker") if state else None


first = soon(stored)
stack._supervisor.keep_running()
room(False)
os.kill(first.pid, signal.SIGKILL)
running = lambda: stack._supervisor._identities().get("worker")
second = soon(lambda: running() if running() != first else None)
kept = stored()
os.kill(second.pid, signal.SIGKILL)
third = soon(lambda: running() if running() not in (first, second) else None)
room(True)
while stored() != third:
    stack.await_failure(0.05)
room(False)
stack.stop()
print(json.dumps({
    "notes": notes,
    "kept": kept == first,
    "parts": sorted(path.name for path in folder.root.iterdir() if path.suffix == ".part"),
    "alive": Path(f"/proc/{third.pid}").exists(),
}))
"""


def test_a_full_disk_is_a_note(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "data")], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kept"], "the state that was there stays whole"
    assert found["parts"] == []
    assert not found["alive"]
    assert [note.partition(" ")[0] for note in found["notes"] if "died" in note] == ["worker", "worker"]
    (first, *others) = [note for note in found["notes"] if "state.json cannot be written" in note]
    assert "the stack goes on, and tries again" in first
    assert len(others) == 1, "once for each time that the disk was full"
