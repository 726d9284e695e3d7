"""The Kubernetes manifests among themselves: what selects, reaches, probes, stops and scales what."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from api import __main__ as api_main
from api.routes.health import router
from core.settings import Settings
from tests.support.manifests import (
    COMPONENT,
    OVERLAYS,
    Document,
    Pod,
    config,
    of_kind,
    pods,
    policy_edges,
    render_overlay,
    selects,
)

INSIDE = {(source, "serving", 8500) for source in ("api", "worker", "console")}
TRIAL = (
    INSIDE
    | {(source, "postgres", 5432) for source in ("api", "worker", "migrate", "console")}
    | {(source, "redis", 6379) for source in ("api", "worker", "beat")}
)


@pytest.fixture(params=OVERLAYS)
def documents(request: pytest.FixtureRequest) -> tuple[Document, ...]:
    return render_overlay(request.param)


@pytest.mark.parametrize(("overlay", "expected"), [("cpu", INSIDE), ("gpu", INSIDE), ("trial", TRIAL)])
def test_only_what_must_talk_may_talk(overlay: str, expected: set[tuple[str, str, int]]) -> None:
    documents = render_overlay(overlay)
    deny = of_kind(documents, "NetworkPolicy")["default-deny"]["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert policy_edges(documents) == expected


def test_every_pod_may_ask_dns(documents: tuple[Document, ...]) -> None:
    dns = of_kind(documents, "NetworkPolicy")["dns"]["spec"]
    assert dns["podSelector"] == {}
    assert {(port["protocol"], port["port"]) for port in dns["egress"][0]["ports"]} == {("UDP", 53), ("TCP", 53)}


def test_the_api_asks_for_keys_and_lets_in_only_who_bears_its_label(documents: tuple[Document, ...]) -> None:
    assert "DERMQ_API_REQUIRE_KEYS" not in config(documents)
    label = {"matchLabels": {"dermq.io/api-client": "true"}}
    rules = of_kind(documents, "NetworkPolicy")["api"]["spec"]["ingress"]
    assert [rule["from"] for rule in rules] == [[{"podSelector": label}, {"namespaceSelector": label, "podSelector": label}]]
    assert not any(label["matchLabels"].items() <= pod.labels.items() for pod in pods(documents).values())
    assert all(each["spec"].get("type", "ClusterIP") == "ClusterIP" for each in of_kind(documents, "Service").values())
    assert not of_kind(documents, "Ingress")


def test_nothing_reaches_the_clouds_credentials(documents: tuple[Document, ...]) -> None:
    """169.254.169.254 is where clouds hand out the node's rights."""
    for policy in of_kind(documents, "NetworkPolicy").values():
        for rule in policy["spec"].get("egress", ()):
            for peer in rule["to"]:
                if block := peer.get("ipBlock"):
                    private = block["cidr"].startswith(("10.", "172.16.", "192.168."))
                    assert private or "169.254.0.0/16" in block["except"]


def test_selectors_find_what_they_name(documents: tuple[Document, ...]) -> None:
    found = pods(documents)
    for kind in ("Service", "PodDisruptionBudget", "PodMonitor", "NetworkPolicy"):
        for name, each in of_kind(documents, kind).items():
            spec = each["spec"]
            selector = {"matchLabels": spec["selector"]} if kind == "Service" else spec.get("selector", spec.get("podSelector"))
            chosen = [pod for pod in found.values() if selects(selector, pod.labels)]
            assert chosen, f"{kind} {name} selects nothing"
            for port in _named_ports(each):
                assert all(port in pod.ports for pod in chosen), f"{kind} {name}: no port {port}"
    for pod in found.values():
        if pod.kind != "Job":
            assert pod.owner["spec"]["selector"]["matchLabels"].items() <= pod.labels.items()
            assert pod.labels[COMPONENT] == pod.name


def _named_ports(document: Document) -> list[str]:
    spec = document["spec"]
    if document["kind"] == "Service":
        return [port["targetPort"] for port in spec["ports"]]
    return [endpoint["port"] for endpoint in spec.get("podMetricsEndpoints", ())]


def test_the_api_is_scraped_on_a_port_that_its_service_does_not_have() -> None:
    documents = render_overlay("cpu")
    monitor = of_kind(documents, "PodMonitor")["api"]["spec"]
    pod = pods(documents)["api"]
    assert selects(monitor["selector"], pod.labels)
    ports = {port["name"]: port["containerPort"] for port in pod.main["ports"]}
    assert [ports[endpoint["port"]] for endpoint in monitor["podMetricsEndpoints"]] == [9100]
    assert config(documents)["DERMQ_API_METRICS_PORT"] == "9100"
    assert [port["targetPort"] for port in of_kind(documents, "Service")["api"]["spec"]["ports"]] == ["http"]


def test_volumes_and_claims_are_there(documents: tuple[Document, ...]) -> None:
    claims = of_kind(documents, "PersistentVolumeClaim").keys()
    for pod in pods(documents).values():
        templates = {each["metadata"]["name"] for each in pod.owner["spec"].get("volumeClaimTemplates", ())}
        volumes = {volume["name"]: volume for volume in pod.spec["volumes"]}
        mounted = {mount["name"] for container in pod.containers for mount in container["volumeMounts"]}
        assert mounted == volumes.keys() | templates, pod.name
        for volume in volumes.values():
            assert volume.get("persistentVolumeClaim", {"claimName": "models"})["claimName"] in claims
        for container in pod.containers:
            for source in container.get("envFrom", ()):
                assert source["configMapRef"]["name"] in of_kind(documents, "ConfigMap")


def test_serving_is_found_by_name(documents: tuple[Document, ...]) -> None:
    service = of_kind(documents, "Service")["serving"]
    assert service["spec"]["clusterIP"] == "None", "one address would bind each worker to one replica"
    assert pods(documents)["serving"].owner["spec"]["serviceName"] == "serving"
    [port] = [port["port"] for port in service["spec"]["ports"] if port["name"] == "grpc"]
    address = f"dns:///serving.{service['metadata']['namespace']}.svc.cluster.local:{port}"
    assert config(documents)["DERMQ_SERVING_ADDRESS"] == address


def test_trial_services_are_found_by_name() -> None:
    documents = render_overlay("trial")
    for variable in ("DERMQ_DATABASE_URL", "DERMQ_BROKER_URL"):
        url = urlsplit(config(documents)[variable])
        [port] = of_kind(documents, "Service")[str(url.hostname)]["spec"]["ports"]
        assert port["port"] == url.port


def test_urls_elsewhere_are_encrypted_and_checked() -> None:
    for overlay in ("cpu", "gpu"):
        settings = config(render_overlay(overlay))
        assert "sslmode=verify-full" in settings["DERMQ_DATABASE_URL"]
        assert re.fullmatch(r"rediss://[^?]+", settings["DERMQ_BROKER_URL"])


def test_probes_ask_what_is_there(documents: tuple[Document, ...]) -> None:
    paths = {getattr(route, "path", "") for route in router.routes}
    for pod in pods(documents).values():
        if pod.name in ("migrate", "console"):
            continue
        for name in ("startupProbe", "readinessProbe"):
            assert name in pod.main, f"{pod.name} has no {name}"
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            _check_probe(pod, pod.main.get(name, {"exec": {}}), paths)
    assert pods(documents)["api"].main["livenessProbe"]["httpGet"]["path"] == "/healthz"  # asks nothing but the process


def _check_probe(pod: Pod, probe: Document, paths: set[str]) -> None:
    if http := probe.get("httpGet"):
        assert http["path"] in paths
        assert http["port"] in pod.ports
    elif "grpc" in probe:
        assert probe["grpc"]["port"] == pod.ports["grpc"]
        assert "--enable_grpc_healthcheck_service=true" in pod.main["args"]
    elif "tcpSocket" in probe:
        assert probe["tcpSocket"]["port"] in pod.ports
    elif "worker" in probe["exec"].get("command", ()):
        assert "DERMQ_WORKER_HEARTBEAT_FILE" in {each["name"] for each in pod.main["env"]}


def test_running_work_may_end(documents: tuple[Document, ...]) -> None:
    found = pods(documents)
    settings = Settings()
    assert found["worker"].spec["terminationGracePeriodSeconds"] > settings.worker.hard_limit_s + 5
    api = found["api"]
    pause = api.main["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert api.spec["terminationGracePeriodSeconds"] > pause + api_main._GRACE_S
    serving = found["serving"]
    pause = serving.main["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert serving.spec["terminationGracePeriodSeconds"] > pause + settings.serving.timeout_s


def test_upgrades_and_drained_nodes(documents: tuple[Document, ...]) -> None:
    found = pods(documents)
    api = found["api"].owner["spec"]
    assert api["replicas"] >= 2
    assert api["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    beat = found["beat"].owner["spec"]
    assert (beat["replicas"], beat["strategy"]) == (1, {"type": "Recreate"})
    budgets = of_kind(documents, "PodDisruptionBudget")
    assert budgets.keys() == {"api", "worker", "serving"}, "a budget for a single pod only blocks the draining of its node"
    assert all("maxUnavailable" in each["spec"] for each in budgets.values())
    for name in ("api", "worker"):
        wait, *more = found[name].spec["initContainers"]
        assert [each["name"] for each in more] == (["first-key"] if name == "api" else [])
        assert wait["command"] == ["python", "-m", "core.db.schema.awaiting"]
        assert wait["image"] == found[name].main["image"]
    assert found["migrate"].kind == "Job"
    assert found["migrate"].main["command"] == ["python", "-m", "core.db.schema.migrate"]


def test_replicas_are_spread(documents: tuple[Document, ...]) -> None:
    for name in ("api", "worker", "serving"):
        pod = pods(documents)[name]
        constraints = pod.spec["topologySpreadConstraints"]
        assert "kubernetes.io/hostname" in {each["topologyKey"] for each in constraints}
        assert all(selects(each["labelSelector"], pod.labels) for each in constraints)


def exported_figures() -> set[str]:
    """What the API's page tells of the ledger."""
    from api.metrics import LedgerCollector
    from core.capacity import recommend_workers
    from core.db.throughput import Backlog
    from core.settings import MetricsSettings

    backlog = Backlog({}, 0, 0, None)
    collector = LedgerCollector(backlog, recommend_workers(backlog, None, MetricsSettings(), 256))
    return {family.name for family in collector.collect()}


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_workers_follow_the_work(overlay: str) -> None:
    documents = render_overlay(overlay)
    worker = pods(documents)["worker"].owner
    scaling = of_kind(documents, "ScaledObject")["worker"]["spec"]
    assert scaling["scaleTargetRef"]["name"] == worker["metadata"]["name"]
    assert "replicas" not in worker["spec"], "each apply would set the fleet back"
    assert 1 <= scaling["minReplicaCount"] <= scaling["fallback"]["replicas"] <= scaling["maxReplicaCount"]
    [trigger] = scaling["triggers"]
    assert trigger["metricType"] == "AverageValue", "no fallback with any other"
    query, settings = trigger["metadata"]["query"], config(documents)
    assert set(re.findall(r"dermq_\w+", query)) <= exported_figures()
    assert "dermq_work_seconds_pending" in query
    assert set(re.findall(r'namespace="(\w+)"', query)) == {"dermq"}
    drain_s = int(settings["DERMQ_METRICS_DRAIN_S"])
    assert f"{drain_s} * scalar" in query
    assert int(trigger["metadata"]["threshold"]) == drain_s * int(settings["DERMQ_WORKER_CONCURRENCY"])
    largest = scaling["maxReplicaCount"] * int(settings["DERMQ_WORKER_CONCURRENCY"])
    assert int(settings["DERMQ_WORKER_WINDOW"]) >= largest, "one job alone could not use the fleet that it calls for"
    down = scaling["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert timedelta(seconds=down["stabilizationWindowSeconds"]) >= timedelta(minutes=5)
