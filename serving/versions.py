"""Which version a job runs on, and whether its pixels are made as those that the version was trained on."""

from __future__ import annotations

from core.errors import ModelContractError, ModelNotFoundError
from core.imaging import preprocessing_hash
from core.modelspec import ModelSpec
from serving.client import Described, PredictClient

DEFAULT_LABEL = "stable"


def describe_wanted(
    client: PredictClient, model: str, version: int | None, label: str | None, *, before: Described | None = None
) -> Described:
    """Resolve version or label once; the job stays pinned to the answer.

    A job that names neither asks for the label `stable`, and for the latest version where the server has no such label.

    Args:
        client: of the server.
        model: the served name.
        version: that very version; not together with `label`.
        label: whatever version bears it.
        before: see PredictClient.describe.

    Raises:
        JobError: as PredictClient.describe.
        ServingUnavailableError: no answer in time.
    """
    if version is not None or label is not None:
        return client.describe(model, version=version, label=label, before=before)
    try:
        return client.describe(model, label=DEFAULT_LABEL, before=before)
    except ModelNotFoundError:
        return client.describe(model, before=before)


def check_preprocessing(spec: ModelSpec) -> None:
    """A wrong row is worse than a late one: pixels must be made as those the model was trained on.

    Raises:
        ModelContractError: the decoder of this DermQ makes other pixels.
    """
    fault = preprocessing_fault(spec)
    if fault is not None:
        raise ModelContractError(
            f"model {spec.name}: {fault}; its training images were decoded by other rules: train and export it again with this "
            "version of DermQ"
        )


def preprocessing_fault(spec: ModelSpec) -> str | None:
    """In words, how the pixels differ that the version was trained on; None if the decoder of this DermQ makes such pixels."""
    expected = preprocessing_hash(spec.input_height, spec.input_width, spec.resize)
    if spec.preprocessing_hash == expected:
        return None
    return f"expected preprocessing {expected} (this DermQ's decoder), got {spec.preprocessing_hash!r} in its spec"
