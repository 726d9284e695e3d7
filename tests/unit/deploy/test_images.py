"""deploy/docker: locked, unprivileged, labelled images, and what their scripts do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.support.composefiles import FILES, services
from tests.support.servers import ROOT

DOCKER = ROOT / "deploy" / "docker"
IMAGES = ("api", "worker", "serving-embedded", "training", "flower")


def stages() -> dict[str, list[str]]:
    """Instructions of the Dockerfile by stage; continued lines are joined, comments are dropped."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE))
    found: dict[str, list[str]] = {"": []}
    current = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if start := re.match(r"FROM (\S+) AS (\S+)", line):
            current = start[2]
            found[current] = []
        found[current].append(line)
    return found


STAGES = stages()


def parents(stage: str) -> list[str]:
    """A stage and those it is made FROM."""
    start = re.match(r"FROM (\S+)", STAGES[stage][0])
    return [stage, *(parents(start[1]) if start and start[1] in STAGES else [])]


def instructions(image: str) -> list[str]:
    return [line for stage in reversed(parents(image)) for line in STAGES[stage]]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_is_unprivileged_labelled_probed_and_ends_in_order(image: str) -> None:
    lines = instructions(image)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert any(line.startswith("STOPSIGNAL") for line in lines)
    assert any(line.startswith("HEALTHCHECK") for line in lines)
    labels = " ".join(line for line in lines if line.startswith("LABEL"))
    wanted = {"title", "description", "licenses", "version", "revision", "source"}
    assert wanted <= set(re.findall(r"org\.opencontainers\.image\.(\w+)=", labels))


@pytest.mark.parametrize("image", IMAGES)
def test_processes_are_started_without_a_shell(image: str) -> None:
    for line in instructions(image):
        if line.startswith(("CMD", "ENTRYPOINT")):
            assert line.split(maxsplit=1)[1].startswith("["), f"{image}: a shell would swallow SIGTERM: {line}"


def test_packages_are_locked_with_hashes_and_locks_exist() -> None:
    assert "--require-hashes" in (DOCKER / "install-packages").read_text()
    lines = [line for lines in STAGES.values() for line in lines]
    installed = [Path(path).name for line in lines for path in re.findall(r"\S+\.lock", line) if "install-packages" in line]
    assert {f"{image.removesuffix('-embedded')}.lock" for image in IMAGES} == set(installed)
    assert not any(re.search(r"\bpip3? install(?!-packages)", line) for line in lines)


@pytest.mark.parametrize("lock", ["api", "worker", "flower"])
def test_what_the_brokers_transport_imports_is_locked(lock: str) -> None:
    """kombu's Redis transport imports packaging, which kombu alone does not ask for: workers died on their start without it."""
    assert re.search(r"^packaging==", (ROOT / "requirements" / f"{lock}.lock").read_text(), re.MULTILINE)


@pytest.mark.parametrize("lock", ["api", "worker", "flower"])
def test_no_tensorflow_beside_the_model_server(lock: str) -> None:
    assert not re.search(r"^(tensorflow|keras)", (ROOT / "requirements" / f"{lock}.lock").read_text(), re.MULTILINE)


def test_nothing_names_a_registry_or_a_processor() -> None:
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    assert base
    assert "/" not in base[1]
    for path in DOCKER.iterdir():
        text = path.read_text()
        assert not re.search(r"--(index-url|trusted-host|find-links)", text), path.name
        assert not re.search(r"x86_64|amd64(?!,linux)|aarch64", text), path.name


STARTED = [
    ("api", "api.__main__"),
    ("api", "cli.main"),
    ("worker", "worker.__main__"),
    ("worker", "worker.beat"),
    ("worker", "core.db.schema.migrate"),
    ("serving-embedded", "serving.embedded.__main__"),
    ("training", "cli.main"),
]
# Refuses the packages of this checkout that an image has not been given.
_BLOCKED = """
import importlib, sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"no {{name}} in this image")
sys.meta_path.insert(0, Absent())
importlib.import_module({module!r})
"""


@pytest.mark.parametrize(("image", "module"), STARTED, ids=[f"{image}-{module}" for image, module in STARTED])
def test_an_image_has_all_packages_of_ours_that_its_processes_import(image: str, module: str) -> None:
    """`dermq` of the API's image imported a module of training/, which is not in it: Compose could not make its first key."""
    given = {name for line in instructions(image) for name in re.findall(r"^COPY --from=source /app/(\w+)", line)}
    ours = {"api", "cli", "core", "dermq", "serving", "training", "worker"}
    code = _BLOCKED.format(absent=ours - given, module=module)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_file_that_a_probe_runs_is_in_the_image() -> None:
    """The probe of workers named a file that had moved: no worker was ever healthy, and `up --wait` failed."""
    text = "".join(path.read_text() for path in [DOCKER / "Dockerfile", *FILES])
    named = set(re.findall(r"/app/([\w/]+\.py)", text))
    assert named == {"worker/telemetry/health.py"}
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_version_is_the_projects() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert set(re.findall(r"^ARG VERSION=(\S+)$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)) == {version}
    for path in FILES:
        assert set(re.findall(r"\$\{DERMQ_VERSION:-([^}]+)\}", path.read_text())) <= {version}, path.name


def test_compose_builds_targets_that_exist() -> None:
    built = {service["build"]["target"] for path in FILES for service in services(path).values() if "build" in service}
    assert built == set(IMAGES)


def test_the_builder_is_sent_only_what_it_needs() -> None:
    """Above all no secrets: everything is excluded, and what the Dockerfile copies is let in again."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = [line[1:] for line in lines if line.startswith("!")]
    for line in (line for lines in STAGES.values() for line in lines if line.startswith("COPY") and "--from" not in line):
        for source in line.split()[1:-1]:
            assert any(fnmatch(source, pattern) or fnmatch(source, f"{pattern}/*") for pattern in let_in), (
                f"{source} is kept back"
            )
            assert (ROOT / source).exists()


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """A root folder as in the image, with empty volumes."""
    shutil.copytree(ROOT / "serving/models", tmp_path / "seed/models")
    shutil.copytree(ROOT / "serving/config", tmp_path / "seed/config")
    (tmp_path / "models").mkdir()
    (tmp_path / "config").mkdir()
    return tmp_path


def seed(root: Path) -> str:
    return subprocess.run([DOCKER / "seed-models", root], check=True, capture_output=True, text=True).stdout


def test_seeding_fills_empty_volumes(volumes: Path) -> None:
    shipped = ROOT / "serving/models"
    versions = sorted(str(path.relative_to(shipped)) for path in shipped.glob("*/*"))
    assert seed(volumes).splitlines() == [f"models: {version}" for version in versions]
    for version in versions:
        graph = f"{version}/saved_model.pb"
        assert (volumes / "models" / graph).read_bytes() == (shipped / graph).read_bytes()
    seeded = sorted(str(path.relative_to(volumes / "models")) for path in (volumes / "models").glob("*/*"))
    assert seeded == versions, "nothing half done is left"
    assert {path.name for path in (volumes / "config").iterdir()} == {path.name for path in (ROOT / "serving/config").iterdir()}


def test_seeding_again_keeps_promotions_and_versions_and_renews_flags(volumes: Path) -> None:
    seed(volumes)
    (volumes / "config/models.config").write_text("# promoted")
    (volumes / "config/cpu.flags").write_text("# of the last release")
    (volumes / "models/starter/1/mark").write_text("kept")
    assert seed(volumes) == ""
    assert (volumes / "config/models.config").read_text() == "# promoted"
    assert (volumes / "config/cpu.flags").read_text() == (ROOT / "serving/config/cpu.flags").read_text()
    assert (volumes / "models/starter/1/mark").read_text() == "kept"
