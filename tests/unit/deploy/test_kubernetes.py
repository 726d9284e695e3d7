"""The Kubernetes manifests: valid, safe, and in agreement with the code they start."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from api.binding import check_binding
from core.settings import Settings
from serving.embedded.options import parse_options
from tests.support.customresources import SCHEMAS
from tests.support.manifests import KUBERNETES, OVERLAYS, Document, Pod, config, of_kind, pods, render, render_overlay
from tests.support.servers import ROOT
from worker import __main__ as worker_main

KUBERNETES_VERSIONS = ("1.32", "1.37")  # the oldest in docs/how-to/kubernetes.md; the newest schemas
SECRETS = {"dermq-database", "dermq-broker", "dermq-s3"}


@pytest.fixture(params=OVERLAYS)
def documents(request: pytest.FixtureRequest) -> tuple[Document, ...]:
    return render_overlay(request.param)


def validate(document: Document, version: str) -> None:
    if schema := SCHEMAS.get(document["kind"]):
        jsonschema.Draft202012Validator(schema).validate(document)
    else:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_every_document_is_valid(documents: tuple[Document, ...], version: str) -> None:
    for document in documents:
        validate(document, version)
    names = [(each["kind"], each["metadata"]["name"]) for each in documents]
    assert len(set(names)) == len(names)
    assert all(each["metadata"].get("namespace") == "dermq" for each in documents if each["kind"] != "Namespace")


@pytest.mark.parametrize("kind", ["Deployment", "NetworkPolicy", "PodDisruptionBudget", "ScaledObject", "PodMonitor"])
def test_an_unknown_field_is_invalid(kind: str) -> None:
    document = copy.deepcopy(next(iter(of_kind(render_overlay("cpu"), kind).values())))
    document["spec"]["replcas"] = 3
    with pytest.raises(jsonschema.ValidationError):
        validate(document, KUBERNETES_VERSIONS[0])


def violations(pod: Pod) -> list[str]:
    """What the profile `restricted` of the Pod Security Standards, and this project on top of it, would object to."""
    return [*_pod_violations(pod), *(text for container in pod.containers for text in _container_violations(container))]


def _pod_violations(pod: Pod) -> Iterator[str]:
    spec, context = pod.spec, pod.spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or not context.get("runAsUser"):
        yield f"{pod.name}: runs as root, or as whatever the image says"
    if context.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield f"{pod.name}: no seccomp profile"
    if spec.get("automountServiceAccountToken") is not False:
        yield f"{pod.name}: gets a token for the Kubernetes API"
    if spec.get("enableServiceLinks") is not False:
        yield f"{pod.name}: Services would set environment variables"
    if any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")):
        yield f"{pod.name}: shares a namespace with its node"
    for volume in spec.get("volumes", ()):
        if not {"emptyDir", "projected", "persistentVolumeClaim"} & volume.keys():
            yield f"{pod.name}: volume {volume['name']} is of a kind that is not expected"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"{pod.name}: volume {volume['name']} has no limit"


def _container_violations(container: Document) -> Iterator[str]:
    name, context = container["name"], container.get("securityContext", {})
    if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
        yield f"{name}: may gain privileges"
    if context.get("capabilities") != {"drop": ["ALL"]}:
        yield f"{name}: keeps capabilities"
    if context.get("readOnlyRootFilesystem") is not True:
        yield f"{name}: writes to its image"
    if context.keys() & {"runAsUser", "runAsNonRoot", "seccompProfile"}:
        yield f"{name}: goes its own way"
    for what in ("requests", "limits"):
        if not {"cpu", "memory"} <= container.get("resources", {}).get(what, {}).keys():
            yield f"{name}: no {what} of cpu and memory"
    if any("hostPort" in port for port in container.get("ports", ())):
        yield f"{name}: takes a port of its node"
    tag = container["image"].rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        yield f"{name}: image {container['image']} is not pinned"


def test_every_pod_is_confined(documents: tuple[Document, ...]) -> None:
    found = pods(documents)
    assert {"api", "worker", "beat", "migrate", "serving", "console"} <= found.keys()
    assert [text for pod in found.values() for text in violations(pod)] == []
    [namespace] = of_kind(documents, "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert of_kind(documents, "ServiceAccount")["dermq"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("weaken", "named"),
    [
        (lambda spec: spec["securityContext"].update(runAsNonRoot=False), "root"),
        (lambda spec: spec["securityContext"].pop("seccompProfile"), "seccomp"),
        (lambda spec: spec.pop("automountServiceAccountToken"), "token"),
        (lambda spec: spec.update(hostNetwork=True), "namespace"),
        (lambda spec: spec["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "volume x"),
        (lambda spec: spec["containers"][0]["securityContext"].update(capabilities={"drop": []}), "capabilities"),
        (lambda spec: spec["initContainers"][0]["securityContext"].update(readOnlyRootFilesystem=False), "image"),
        (lambda spec: spec["initContainers"][0]["resources"].pop("limits"), "limits"),
        (lambda spec: spec["containers"][0].update(image="dermq/api:latest"), "pinned"),
    ],
)
def test_a_weaker_pod_is_found_out(weaken: Any, named: str) -> None:
    pod = copy.deepcopy(pods(render_overlay("cpu"))["api"])
    weaken(pod.spec)
    assert [text for text in violations(pod) if named in text]


def environment(documents: tuple[Document, ...], pod: Pod) -> dict[str, str]:
    """What the main container's process finds in its environment."""
    shared = config(documents) if pod.main.get("envFrom") else {}
    return shared | {each["name"]: each["value"] for each in pod.main.get("env", ())}


def known_settings() -> set[str]:
    """Every variable that core/settings/ reads, and the folder of secrets."""
    concerns = [getattr(Settings(), field.name) for field in dataclasses.fields(Settings)]
    names = {f"{type(each).model_config['env_prefix']}{name}".upper() for each in concerns for name in type(each).model_fields}
    return names | {"DERMQ_SECRETS_DIR"}


def test_settings_exist_and_are_accepted(
    documents: tuple[Document, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = known_settings()
    assert "DERMQ_WORKER_CONCURRENCY" in known
    for secret in ("dermq_database_password", "dermq_broker_password"):
        (tmp_path / secret).write_text("pa:ss/word\n")
    for pod in pods(documents).values():
        wanted = environment(documents, pod)
        assert {name for name in wanted if name.startswith("DERMQ_")} <= known, pod.name
        if not wanted.keys() & known:
            continue
        with monkeypatch.context() as patched:
            for name, value in (wanted | {"DERMQ_SECRETS_DIR": str(tmp_path)}).items():
                patched.setenv(name, value)
            settings = Settings()
        check_binding(settings.api)
        assert ":pa%3Ass%2Fword@" in settings.database_url
        assert ":pa%3Ass%2Fword@" in settings.broker.full_url
        assert settings.storage_url.startswith(("s3://", "file:///var/lib/dermq/objects"))
        assert settings.metrics.port == 9100
        if pod.name == "worker":
            # The default is the node's number of cores, whatever the container may use.
            assert settings.worker.concurrency == int(pod.main["resources"]["limits"]["cpu"])


def test_a_misspelt_setting_is_not_known() -> None:
    assert not {"DERMQ_WORKER_CONCURENCY", "DERMQ_DATABASE_URI"} & known_settings()


def test_secrets_come_from_outside_and_reach_who_needs_them(documents: tuple[Document, ...]) -> None:
    assert not of_kind(documents, "Secret")
    mounted = {
        pod.name: {
            source["secret"]["name"]
            for volume in pod.spec["volumes"]
            for source in volume.get("projected", {}).get("sources", ())
        }
        for pod in pods(documents).values()
    }
    assert set().union(*mounted.values()) <= SECRETS
    assert mounted["api"] == mounted["worker"] >= {"dermq-database", "dermq-broker"}
    assert (mounted["migrate"], mounted["beat"], mounted["serving"]) == ({"dermq-database"}, {"dermq-broker"}, set())
    assert not any("password" in value.lower() for value in config(documents).values())


def test_secrets_can_be_made_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, folder)
    secrets = folder / "components" / "secrets"
    for name in ("dermq_database_password", "dermq_broker_password"):
        (secrets / name).write_text("x")
    overlay = folder / "overlays" / "more"
    overlay.mkdir()
    (overlay / "kustomization.yaml").write_text(
        "namespace: dermq\nresources: [../trial]\ncomponents: [../../components/secrets]\n"
    )
    documents = tuple(render(overlay))
    made = of_kind(documents, "Secret")
    assert {name.rpartition("-")[0] for name in made} == {"dermq-database", "dermq-broker"}
    [volume] = [each for each in pods(documents)["beat"].spec["volumes"] if each["name"] == "secrets"]
    assert volume["projected"]["sources"][0]["secret"]["name"] in made


def test_no_secret_lies_in_the_folder() -> None:
    assert {path.name for path in (KUBERNETES / "components" / "secrets").iterdir() if not path.name.startswith("dermq_")} == {
        ".gitignore",
        "kustomization.yaml",
    }
    assert (KUBERNETES / "components" / "secrets" / ".gitignore").read_text() == "dermq_*\n"


def test_commands_exist(documents: tuple[Document, ...], capsys: pytest.CaptureFixture[str]) -> None:
    worker_main.main(["nonsense"])
    verbs = capsys.readouterr().err
    scripts = {path.name for path in (ROOT / "deploy" / "docker").iterdir()}
    others = {"tensorflow_model_server", "pg_isready", "sh", "sleep", "mkdir"}  # of the images' own
    for pod in pods(documents).values():
        for command in _commands(pod):
            if command[:2] != ["python", "-m"]:
                assert command[0] in scripts | others, f"{pod.name}: {command}"
                continue
            module = command[2]
            spec = importlib.util.find_spec(f"{module}.__main__") if _is_package(module) else importlib.util.find_spec(module)
            assert spec is not None, f"{pod.name}: {command}"
            if module == "worker" and len(command) > 3:
                assert f"`{command[3]}`" in verbs, f"{pod.name}: {command}"


def _is_package(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"no module {module}"
    return spec.submodule_search_locations is not None


def _commands(pod: Pod) -> Iterator[list[str]]:
    for container in pod.containers:
        if "command" in container:
            yield container["command"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if command := container.get(probe, {}).get("exec", {}).get("command"):
                yield command


@pytest.mark.parametrize(("overlay", "flags"), [("cpu", "cpu.flags"), ("gpu", "gpu.flags"), ("trial", "cpu.flags")])
def test_serving_gets_the_flags_of_the_project(overlay: str, flags: str) -> None:
    lines = (ROOT / "serving" / "config" / flags).read_text().splitlines()
    expected = {line.partition("=")[0]: line.partition("=")[2] for line in lines if line.startswith("--")}
    serving = pods(render_overlay(overlay))["serving"].main
    given = {text.partition("=")[0]: text.partition("=")[2] for text in serving["args"]}
    assert given.pop("--grpc_channel_arguments") == "grpc.max_connection_age_ms=300000"
    if flags == "cpu.flags":
        expected["--tensorflow_inter_op_parallelism"] = str(serving["resources"]["limits"]["cpu"])
    assert given == expected


def test_the_embedded_server_knows_all_its_flags() -> None:
    serving = pods(render_overlay("trial"))["serving"].main
    assert serving["command"][:3] == ["python", "-m", "serving.embedded"]
    options, ignored = parse_options([*serving["command"][3:], *serving["args"]])
    assert set(ignored) == {"xla_cpu_compilation_enabled"}  # what it does without being told
    assert (options.bind_address, options.port, options.rest_api_port) == ("0.0.0.0", 8500, 8501)  # noqa: S104
    assert options.channel_arguments == [("grpc.max_connection_age_ms", 300_000)]


def test_own_images_are_of_this_release(documents: tuple[Document, ...]) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    version = text.partition('\nversion = "')[2].partition('"')[0]
    targets = {line.split()[-1] for line in (ROOT / "deploy/docker/Dockerfile").read_text().splitlines() if " AS " in line}
    images = {container["image"] for pod in pods(documents).values() for container in pod.containers}
    own = {image for image in images if image.startswith("dermq/")}
    assert own
    assert all(image.partition(":")[2] == version for image in own)
    assert {image.partition("/")[2].partition(":")[0] for image in own} <= targets
