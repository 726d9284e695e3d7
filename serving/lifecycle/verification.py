"""Whether a served version is what it says it is: files, signatures, spec, and the golden batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.errors import ModelContractError
from core.modelspec import ModelSpec
from serving.client import Answer, PredictClient
from serving.lifecycle.golden import Golden, draw_images
from serving.repository import ModelVersion
from serving.versions import preprocessing_fault


@dataclass(frozen=True)
class Verified:
    """What was found to be right."""

    spec: ModelSpec
    golden_images: int  # 0: no golden batch has been recorded
    largest_difference: float  # of a probability of the golden batch


def verify_served(client: PredictClient, version: ModelVersion) -> Verified:
    """Ask a server that has the version AVAILABLE.

    Raises:
        InvalidRequestError: the folder is no whole SavedModel, or what lies beside it cannot be read.
        ModelNotFoundError: the version is not served.
        ModelContractError: signatures, spec or answers are not what they should be.
        ServingUnavailableError: no answer in time.
    """
    version.check_files()
    golden = Golden.load(version)
    spec = describe_checked(client, version)
    if golden is None:
        return Verified(spec, 0, 0.0)
    what = f"{version.model} version {version.number} at {client.address}"
    answered = _answer(client, version, spec, golden.images)
    return Verified(spec, len(golden.images), golden.compare(answered.probabilities, answered.novelty, what))


def record_golden(client: PredictClient, version: ModelVersion) -> Golden:
    """Ask a version about the golden pictures and keep its answers beside it; raises as `verify_served`."""
    spec = describe_checked(client, version)
    images = draw_images(spec.input_height, spec.input_width)
    answered = _answer(client, version, spec, images)
    golden = Golden(images, answered.probabilities, answered.novelty)
    golden.save(version)
    return golden


def _answer(client: PredictClient, version: ModelVersion, spec: ModelSpec, images: npt.NDArray[np.uint8]) -> Answer:
    novelty = spec.novelty is not None
    return client.predict_async(version.model, version.number, images, classes=len(spec.classes), novelty=novelty).answer()


def describe_checked(client: PredictClient, version: ModelVersion) -> ModelSpec:
    """What the version says of itself; its signatures are checked, too. Raises as `verify_served`."""
    spec = client.describe(version.model, version=version.number).spec
    what = f"{version.model} version {version.number}"
    exported = version.spec()
    if exported is not None and exported != spec:
        differing = [name for name in ModelSpec.model_fields if getattr(exported, name) != getattr(spec, name)]
        raise ModelContractError(
            f"{what} at {client.address}: describes itself otherwise than {version.extra / 'spec.json'} in {differing}: "
            "the server has other files under this number; versions never change, publish the new ones as the next version"
        )
    fault = preprocessing_fault(spec)
    if fault is not None:
        raise ModelContractError(
            f"{what}: {fault}: every job would fail with it; train and export the model again with this version of DermQ"
        )
    return spec
