"""The client that api and worker import brings no TensorFlow, and nothing else that nobody expects."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

from tests.support.servers import ROOT

IMPORTED = """
    import json, sys

    before = set(sys.modules)  # what .pth files of this installation load
    import serving.client

    print(json.dumps(sorted(set(sys.modules) - before)))
"""
# What the light client may load; TensorFlow's stubs would bring TensorFlow. `benchmarks/memory.py` prints the megabytes.
WIRE = {"google.protobuf", "google._upb", "grpc", "grpc_tools", "numpy"}  # grpc looks for its tools
SETTINGS = {
    "pydantic",
    "pydantic_core",
    "pydantic_settings",
    "annotated_types",
    "typing_extensions",
    "typing_inspection",
    "dotenv",
}
# What structlog looks for: rich, with its own, and greenlet, which the tests of the web pages bring.
LOGS = {"structlog", "rich", "pygments", "attr", "attrs", "markdown_it", "mdurl", "greenlet"}
OWN = {"core", "core.telemetry", "serving"} | {
    *(
        f"core.{name}"
        for name in (
            "datafolder",
            "errors",
            "hosts",
            "modelspec",
            "plainlists",
            "plaintext",
            "processors",
            "secretfiles",
            "settings",
        )
    ),
    *(f"core.telemetry.{name}" for name in ("logs", "spans", "tracing")),
    *(
        f"serving.{name}"
        for name in (
            "channel",
            "client",
            "contract",
            "failures",
            "flight",
            "modelnames",
            "replicas",
            "retrying",
            "security",
            "stubs",
            "tensors",
        )
    ),
}


def test_the_client_is_light() -> None:
    command = [sys.executable, "-c", textwrap.dedent(IMPORTED)]
    done = subprocess.run(command, cwd=ROOT, timeout=60, capture_output=True, text=True, check=True)
    modules = {name for name in json.loads(done.stdout) if not name.startswith(("serving.protos", "core.settings."))}
    ours = {name for name in modules if name.partition(".")[0] in ("core", "serving")}
    assert ours - OWN == set()
    # `google` is shared by several distributions: there the second name tells.
    theirs = {".".join(name.split(".")[: 2 if name.startswith("google.") else 1]) for name in modules - ours}
    theirs -= {*sys.stdlib_module_names, "google", "cython_runtime"}
    private = {name for name in theirs if name.startswith(("_cython", "_sysconfigdata"))}
    assert theirs - private - WIRE - SETTINGS - LOGS == set()
    assert theirs >= {"google.protobuf", "grpc", "numpy"}
