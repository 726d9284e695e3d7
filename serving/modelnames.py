"""A served model by version, by label, or the latest: on the wire, and in words."""

from __future__ import annotations

from serving.protos.model_pb2 import ModelSpec as WireModelSpec


def wire_spec(model: str, version: int | None, label: str | None, signature: str) -> WireModelSpec:
    """The message that names it.

    Args:
        model: the served name.
        version: that very version; not together with `label`.
        label: whatever version bears it; neither means the latest.
        signature: of the model; empty where none is asked for.

    Raises:
        ValueError: both a version and a label.
    """
    if version is not None and label is not None:
        raise ValueError(f"expected a version or a label of {model}, got both: {version} and {label!r}")
    spec = WireModelSpec(name=model, signature_name=signature)
    if version is not None:
        spec.version.value = version
    elif label is not None:
        spec.version_label = label
    return spec


def in_words(model: str, version: int | None, label: str | None) -> str:
    """For messages."""
    if version is not None:
        return f"{model} version {version}"
    return f"{model} label {label!r}" if label is not None else f"{model} (latest)"
