"""The shape of the custom resources in deploy/kubernetes: the fields that are used there, after their documentation, no others.

ScaledObject: keda.sh/docs/2.15/reference/scaledobject-spec and keda.sh/docs/2.15/scalers/prometheus.
ServiceMonitor, PodMonitor: prometheus-operator.dev/docs/api-reference/api (monitoring.coreos.com/v1).
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _record(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


def _resource(api_version: str, kind: str, spec: Schema) -> Schema:
    return _record(
        {"apiVersion": {"const": api_version}, "kind": {"const": kind}, "metadata": {"type": "object"}, "spec": spec}
    )


_TEXT: Schema = {"type": "string", "minLength": 1}
_NUMBER: Schema = {"type": "string", "pattern": r"^\d+(\.\d+)?$"}  # KEDA's metadata are strings
_FLAG: Schema = {"type": "string", "enum": ["true", "false"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SECONDS: Schema = {"type": "integer", "minimum": 0, "maximum": 3600}
_DURATION: Schema = {"type": "string", "pattern": r"^\d+(ms|s|m|h)$"}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}
_SELECTOR = _record(
    {},
    matchLabels=_LABELS,
    matchExpressions=_list(_record({"key": _TEXT, "operator": {"enum": ["In", "NotIn"]}, "values": _list(_TEXT)})),
)

_RULES = _record(
    {
        "policies": _list(
            _record({"type": {"enum": ["Percent", "Pods"]}, "value": {"type": "integer"}, "periodSeconds": _SECONDS})
        )
    },
    stabilizationWindowSeconds=_SECONDS,
    selectPolicy={"enum": ["Max", "Min", "Disabled"]},
)
_PROMETHEUS = _record(
    {
        "type": {"const": "prometheus"},
        "metadata": _record(
            {"serverAddress": {"type": "string", "pattern": "^https?://"}, "query": _TEXT, "threshold": _NUMBER},
            activationThreshold=_NUMBER,
            ignoreNullValues=_FLAG,
            unsafeSsl=_FLAG,
            timeout=_NUMBER,
        ),
    },
    metricType={"enum": ["AverageValue", "Value"]},
    name=_TEXT,
)
_SCALED_OBJECT = _record(
    {"scaleTargetRef": _record({"name": _TEXT}, apiVersion=_TEXT, kind=_TEXT), "triggers": _list(_PROMETHEUS)},
    pollingInterval=_COUNT,
    cooldownPeriod=_COUNT,
    minReplicaCount=_COUNT,
    maxReplicaCount=_COUNT,
    fallback=_record({"failureThreshold": _COUNT, "replicas": _COUNT}),
    advanced=_record(
        {},
        restoreToOriginalReplicaCount={"type": "boolean"},
        horizontalPodAutoscalerConfig=_record({}, name=_TEXT, behavior=_record({}, scaleUp=_RULES, scaleDown=_RULES)),
    ),
)
_ENDPOINT = _record(
    {"port": _TEXT}, path=_TEXT, interval=_DURATION, scrapeTimeout=_DURATION, scheme={"enum": ["http", "https"]}
)

SCHEMAS = {
    "ScaledObject": _resource("keda.sh/v1alpha1", "ScaledObject", _SCALED_OBJECT),
    "ServiceMonitor": _resource(
        "monitoring.coreos.com/v1", "ServiceMonitor", _record({"selector": _SELECTOR, "endpoints": _list(_ENDPOINT)})
    ),
    "PodMonitor": _resource(
        "monitoring.coreos.com/v1", "PodMonitor", _record({"selector": _SELECTOR, "podMetricsEndpoints": _list(_ENDPOINT)})
    ),
}
