"""docker-compose.yml and its overrides: hardened, limited, without default secrets, and in agreement with the code."""

from __future__ import annotations

import dataclasses
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.settings import Settings, WorkerSettings
from tests.support.composefiles import BASE, FILES, OVERRIDES, complete_services, load, services, variables
from tests.support.servers import ROOT

SERVICES = complete_services()
ONE_SHOT = {"migrate", "first-key", "models", "dermq", "training"}
BACKGROUND = sorted(set(SERVICES) - ONE_SHOT)
SECRET = re.compile(r"PASSWORD|SECRET_|ACCESS_KEY|TOKEN|_USERS$|_AUTH$")
# Compose's own, and OpenTelemetry's.
FOREIGN = {"COMPOSE_FILE", "COMPOSE_PROFILES", "OTEL_EXPORTER_OTLP_ENDPOINT"}


def limits(service: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = service["deploy"]["resources"]["limits"]
    return found


def networks(service: dict[str, Any]) -> set[str]:
    return set(service.get("networks", []))


def seconds(duration: str) -> int:
    return int(re.fullmatch(r"(?:\$\{\w+:-)?(\d+)s\}?", duration).group(1))  # type: ignore[union-attr]


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_may_write_to_its_image_or_gain_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    if name == "postgres":  # becomes another user by itself
        assert set(service["cap_add"]) == {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
    else:
        assert "cap_add" not in service
        assert service["init"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_everything_is_limited(name: str) -> None:
    assert {"cpus", "memory", "pids"} <= set(limits(SERVICES[name]))
    logging = SERVICES[name]["logging"]
    assert logging["driver"] == "json-file"
    assert {"max-size", "max-file"} <= set(logging["options"])


@pytest.mark.parametrize("name", BACKGROUND)
def test_what_runs_for_long_comes_back_is_probed_and_may_end_in_order(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    assert seconds(service.get("stop_grace_period", "10s")) >= 10


@pytest.mark.parametrize("name", sorted(ONE_SHOT & set(SERVICES)))
def test_what_runs_once_is_not_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"
    assert SERVICES[name]["healthcheck"] == {"disable": True}


def test_only_api_and_flower_are_published_and_on_loopback() -> None:
    published = {name: service["ports"] for name, service in services(BASE).items() if "ports" in service}
    assert set(published) == {"api", "flower"}
    assert all(
        re.match(r"\$\{DERMQ_\w+_PUBLISH:-127\.0\.0\.1:\d+\}:\d+$", port) for ports in published.values() for port in ports
    )


def test_stores_are_inside_and_nothing_inside_reaches_out() -> None:
    assert load(BASE)["networks"] == {"edge": {}, "backend": {"internal": True}, "serving": {"internal": True}}
    assert networks(SERVICES["postgres"]) == networks(SERVICES["redis"]) == {"backend"}
    assert networks(SERVICES["serving"]) == {"serving"}
    assert networks(SERVICES["worker"]) == {"backend", "serving"}
    assert {name for name, service in services(BASE).items() if "edge" in networks(service)} == {"api", "flower"}


def test_workers_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["worker"])


def test_a_worker_is_given_longer_to_end_than_a_task_may_take() -> None:
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > WorkerSettings().hard_limit_s


def test_the_ledger_is_migrated_before_anybody_uses_it() -> None:
    for name in ("api", "worker", "beat"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_secret_has_a_default(path: Path) -> None:
    for variable in variables(path):
        if SECRET.search(variable["name"]):
            assert variable["mark"] == ":?", f"{variable['name']} must be asked for"
    for name, service in services(path).items():
        given = {key: str(value) for key, value in (service.get("environment") or {}).items() if SECRET.search(key)}
        bare = {key for key, value in given.items() if not key.endswith("_FILE") and not re.match(r"\$\{\w+:\?", value)}
        assert not bare, f"{name}: expected a secret file, or a variable that must be set"


def test_what_must_be_decided_is_asked_for_in_plain_words() -> None:
    asked = {variable["name"]: variable["rest"] for variable in variables(BASE) if variable["mark"] == ":?"}
    assert set(asked) == {"DERMQ_SECRETS_FOLDER"}
    assert all(".env" in text for text in asked.values())


def test_public_secrets_are_for_development_only() -> None:
    users = [path for path in FILES if "development-secrets" in path.read_text()]
    assert users == []
    assert "DERMQ_SECRETS_FOLDER=./deploy/development-secrets" in (ROOT / "deploy/development.env").read_text().splitlines()
    assert "compose.development.yml" in (ROOT / "deploy/development.env").read_text()


def test_every_variable_is_documented_and_every_documented_one_is_used() -> None:
    used = {variable["name"] for path in FILES for variable in variables(path)}
    documented = set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used - documented == set(), "in a Compose file, not in .env.example"
    assert documented - used - {"COMPOSE_FILE", "COMPOSE_PROFILES"} == set(), "in .env.example, in no Compose file"


def test_the_example_decides_nothing() -> None:
    example = (ROOT / ".env.example").read_text()
    settled = [line for line in example.splitlines() if line and not line.startswith("#")]
    assert settled == ["DERMQ_SECRETS_FOLDER="]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_exists(path: Path) -> None:
    known = {"DERMQ_SECRETS_DIR", "DERMQ_SERVER", "DERMQ_API_KEY"}
    for concern in dataclasses.asdict(Settings()).values():
        prefix = concern.model_config["env_prefix"]
        known |= {f"{prefix}{field}".upper() for field in type(concern).model_fields}
    for name, service in services(path).items():
        given = {key for key in (service.get("environment") or {}) if key.startswith("DERMQ_")}
        assert given <= known, f"{name} is given settings that nobody reads"


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert tag
    assert "latest" not in tag


def test_overrides_change_services_that_exist() -> None:
    for path in OVERRIDES:
        for name, service in services(path).items():
            assert name in services(BASE) or "image" in service, f"{path.name}: {name} is nobody's"


def test_serving_reads_the_flags_that_are_kept_with_their_reasons() -> None:
    for path, flags in ((BASE, "cpu.flags"), (ROOT / "deploy/compose.gpu.yml", "gpu.flags")):
        (command,) = [part for part in services(path)["serving"]["entrypoint"] if "exec" in part]
        assert f"/config/{flags}" in command
        assert (ROOT / "serving/config" / flags).is_file()


def test_secrets_are_made_once_and_readable_in_containers_only(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    subprocess.run([ROOT / "deploy/make-secrets", folder], check=True, capture_output=True)
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == set(load(BASE)["secrets"])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700, "the folder is closed to others, its files are mounted one by one"
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o444 for path in folder.iterdir())
    assert all(len(text.rpartition(":")[2]) == 64 for text in made.values())
    output = subprocess.run([ROOT / "deploy/make-secrets", folder], check=True, capture_output=True, text=True).stdout
    assert output.count("kept") == 3
    assert {path.name: path.read_text() for path in folder.iterdir()} == made


def test_the_secret_files_are_named_as_the_settings_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in load(BASE)["secrets"] | load(ROOT / "deploy/compose.s3.yml")["secrets"]:
        (tmp_path / name).write_text(f"value-of-{name}")
    monkeypatch.setenv("DERMQ_SECRETS_DIR", str(tmp_path))
    environment = services(BASE)["worker"]["environment"]
    for name in ("DERMQ_DATABASE_URL", "DERMQ_BROKER_URL"):
        monkeypatch.setenv(name, environment[name])
    settings = Settings()
    assert ":value-of-dermq_database_password@postgres" in settings.database_url
    assert settings.broker.full_url == "redis://:value-of-dermq_broker_password@redis:6379/0"
    assert settings.storage.s3_access_key_id.get_secret_value() == "value-of-dermq_storage_s3_access_key_id"
    assert settings.storage.s3_secret_access_key.get_secret_value() == "value-of-dermq_storage_s3_secret_access_key"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_plain_yaml(path: Path) -> None:
    assert yaml.compose(path.read_text()) is not None
