"""PredictClient: DermQ's view of TensorFlow Serving, or of anything that speaks its gRPC API. No TensorFlow in this process.

Here: requests and replies. Elsewhere: the channel (serving.channel), checks of replies (serving.contract), codes to errors
(serving.failures), arrays to tensors (serving.tensors).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import grpc
import numpy as np
import numpy.typing as npt

from core.errors import JobError, ModelContractError, ServingUnavailableError
from core.modelspec import (
    DESCRIBE_INPUT_ALIAS,
    DESCRIBE_SIGNATURE,
    EXPLAIN_OUTPUT_ALIAS,
    EXPLAIN_SIGNATURE,
    INPUT_ALIAS,
    NOVELTY_ALIAS,
    OUTPUT_ALIAS,
    ModelSpec,
)
from core.plainlists import check_grpc_address
from core.telemetry.tracing import call_metadata, current_traceparent
from serving.channel import ProcessChannel, open_channel
from serving.contract import check_maps, check_novelty, check_probabilities, check_signatures, read_output, read_spec
from serving.failures import Call, Failure, to_error
from serving.flight import Flight
from serving.modelnames import in_words, wire_spec
from serving.protos import management_pb2, metadata_pb2, predict_pb2, status_pb2
from serving.protos.config_pb2 import ModelServerConfig
from serving.protos.metadata_pb2 import SignatureDef
from serving.retrying import Retry
from serving.stubs import Stubs
from serving.tensors import fill_tensor

if TYPE_CHECKING:
    from core.settings import ServingSettings

SERVING_DEFAULT = "serving_default"
_TOLD_NOTHING = np.array([b""], dtype=object)  # the describe signature ignores its input


@dataclass(frozen=True)
class Described:
    """What a model says of itself, and the version that said it."""

    spec: ModelSpec
    version: int


@dataclass(frozen=True)
class VersionStatus:
    """The state of one version as the server reports it."""

    version: int
    state: str  # START, LOADING, AVAILABLE, UNLOADING or END
    error_code: str  # "OK", or why it could not be loaded
    error_message: str


@dataclass(frozen=True)
class Answer:
    """What a model says of a batch: probabilities float32 [batch, classes], and novelty float32 [batch] if it was asked for."""

    probabilities: npt.NDArray[np.float32]
    novelty: npt.NDArray[np.float32] | None = None


class PendingPrediction:
    """A Predict in flight. `answer()` or `result()` may be called once, from any thread."""

    def __init__(self, finish: Callable[[], Answer], cancel: Callable[[], None], flight: Flight | None = None) -> None:
        self._finish = finish
        self._cancel = cancel
        self._flight = flight
        self.took_s: float | None = None  # from sending to the answer, once the answer is there, or an error

    def result(self) -> npt.NDArray[np.float32]:
        """Wait for the probabilities; raises what `PredictClient.predict` raises."""
        return self.answer().probabilities

    def answer(self) -> Answer:
        """Wait for all that was asked for; raises what `PredictClient.predict` raises."""
        try:
            answer = self._finish()
        except BaseException as error:
            self._land(error)
            raise
        self._land()
        return answer

    def _land(self, error: BaseException | None = None) -> None:
        if self._flight is not None:
            self.took_s = self._flight.land(error)

    def cancel(self) -> None:
        """Tell the server that nobody waits any more; `answer()` then raises ServingUnavailableError, unless it was there."""
        self._cancel()


class PredictClient:
    """Calls one Serving address. Cheap to make: the channel opens at first use, in the process that uses it. Thread-safe."""

    def __init__(
        self,
        address: str,
        timeout_s: float = 20.0,
        *,
        retry: Retry | None = None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        on_retry: Callable[[], None] = lambda: None,
        security: ServingSettings | None = None,
    ) -> None:
        """Nothing is opened here.

        Args:
            address: host:port, or dns:///host:port for several replicas.
            timeout_s: deadline of one call, its retries included.
            retry: how transient failures are tried again within that time.
            sleep: waits between attempts.
            monotonic: the clock that deadlines are measured with, in seconds.
            on_retry: called before a call is tried again.
            security: says whether there is TLS, and with what; None: in the clear.

        Raises:
            ValueError: the address is a URL of the web.
        """
        self.address = check_grpc_address(address)
        self.timeout_s = timeout_s
        self._retry = retry or Retry()
        self._sleep = sleep
        self._monotonic = monotonic
        self._on_retry = on_retry
        self._channel = ProcessChannel(address, None if security is None else lambda to: open_channel(to, security))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; calls in flight are cancelled."""
        self._channel.close()

    def describe(
        self, model: str, *, version: int | None = None, label: str | None = None, before: Described | None = None
    ) -> Described:
        """Ask a model for its ModelSpec, and the server for the version behind a label.

        Args:
            model: the served name.
            version: that very version; not together with `label`.
            label: whatever version bears it; neither means the latest.
            before: an earlier answer of this server. If the new one is the same, the signatures are not checked again.

        Raises:
            ModelNotFoundError: no such model, version or label.
            ModelContractError: no `describe` signature, a spec that cannot be read, or a `serving_default` that contradicts it.
            ServingUnavailableError: no answer in time.
        """
        what = f"describe of {in_words(model, version, label)}"
        request = predict_pb2.PredictRequest(model_spec=wire_spec(model, version, label, DESCRIBE_SIGNATURE))
        fill_tensor(request.inputs[DESCRIBE_INPUT_ALIAS], _TOLD_NOTHING)
        reply = self._call(lambda stubs: stubs.predict, request, what)
        described = Described(read_spec(reply, what), reply.model_spec.version.value)
        if described != before:
            check_signatures(self.metadata(model, version=described.version), described.spec, what)
        return described

    def predict(
        self, model: str, version: int, images: npt.NDArray[np.uint8], *, classes: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Classify a batch.

        Args:
            model: the served name.
            version: the version a job is pinned to; an answer of another one is refused.
            images: uint8 [batch, height, width, 3].
            classes: how many probabilities each image must have; None takes what comes.

        Returns:
            float32 [batch, classes], each in [0, 1].

        Raises:
            BatchRejectedError: the model refuses the batch; bisect it.
            ModelNotFoundError: the version is not served (any more).
            ModelContractError: the answer is not what the contract says.
            ServingOverloadedError: the server has not enough memory for the batch.
            ServingFaultError: the server failed by a fault of its own, again and again.
            ServingUnavailableError: no answer in time.
        """
        return self.predict_async(model, version, images, classes=classes).result()

    def predict_async(
        self,
        model: str,
        version: int,
        images: npt.NDArray[np.uint8],
        *,
        classes: int | None = None,
        row_by_row: bool = False,
        novelty: bool = False,
    ) -> PendingPrediction:
        """Send a batch and return at once; otherwise as `predict`. A retry, if one is due, happens inside `answer()`.

        With `row_by_row`, values that are no probabilities make their own row NaN, and the others are returned; so does
        novelty that is no number. With `novelty` the answer has it: for a model whose spec says that it gives it.
        """
        what = f"Predict of {in_words(model, version, None)}"
        request = predict_pb2.PredictRequest(
            model_spec=wire_spec(model, version, None, SERVING_DEFAULT),
            output_filter=[OUTPUT_ALIAS, NOVELTY_ALIAS] if novelty else [OUTPUT_ALIAS],
        )
        fill_tensor(request.inputs[INPUT_ALIAS], images)
        flight = Flight(model, version, len(images), self._monotonic)
        deadline = flight.sent_at + self.timeout_s
        first = self._channel.stubs().predict.future(request, timeout=self.timeout_s, metadata=flight.metadata)
        flight.watch(first)

        def finish() -> Answer:
            reply = self._call(
                lambda stubs: stubs.predict,
                request,
                what,
                deadline=deadline,
                first=first,
                kind=Call.BATCH,
                metadata=flight.metadata,
            )
            self._check_version(reply, version, what)
            found = read_output(reply, OUTPUT_ALIAS, what)
            probabilities = check_probabilities(found, len(images), classes, what, row_by_row=row_by_row)
            if not novelty:
                return Answer(probabilities)
            distances = check_novelty(read_output(reply, NOVELTY_ALIAS, what), len(images), what, row_by_row=row_by_row)
            return Answer(probabilities, distances)

        return PendingPrediction(finish, flight.cancel, flight)

    def explain(
        self, model: str, described: Described, images: npt.NDArray[np.uint8], *, timeout_s: float | None = None
    ) -> npt.NDArray[np.float32]:
        """Ask which places of images speak for each class.

        Args:
            model: the served name.
            described: the version, whose spec has `explain`.
            images: uint8 [batch, height, width, 3].
            timeout_s: deadline; None: this client's own.

        Returns:
            float32 [batch, h, w, classes] in [0, 1], of the height and width that the spec says.

        Raises:
            JobError: as `predict`; ModelContractError also for a version whose spec has no `explain`.
            ServingUnavailableError: no answer in time.
        """
        what, explain = f"explain of {in_words(model, described.version, None)}", described.spec.explain
        if explain is None:
            raise ModelContractError(f"{what}: its spec has no 'explain', so it cannot be asked; export it again")
        request = predict_pb2.PredictRequest(model_spec=wire_spec(model, described.version, None, EXPLAIN_SIGNATURE))
        fill_tensor(request.inputs[INPUT_ALIAS], images)
        deadline = self._monotonic() + (timeout_s or self.timeout_s)
        reply = self._call(lambda stubs: stubs.predict, request, what, deadline=deadline, kind=Call.BATCH)
        self._check_version(reply, described.version, what)
        shape = len(images), explain.height, explain.width, len(described.spec.classes)
        return check_maps(read_output(reply, EXPLAIN_OUTPUT_ALIAS, what), shape, what)

    def metadata(
        self, model: str, *, version: int | None = None, label: str | None = None, quick_s: float | None = None
    ) -> dict[str, SignatureDef]:
        """The signatures of a model by name; errors as `describe`. With `quick_s` one attempt within that time."""
        what = f"GetModelMetadata of {in_words(model, version, label)}"
        request = metadata_pb2.GetModelMetadataRequest(
            model_spec=wire_spec(model, version, label, ""), metadata_field=["signature_def"]
        )
        reply = self._call(lambda stubs: stubs.metadata, request, what, quick_s=quick_s)
        return dict(metadata_pb2.SignatureDefMap.FromString(reply.metadata["signature_def"].value).signature_def)

    def model_status(self, model: str, *, version: int | None = None, quick_s: float | None = None) -> list[VersionStatus]:
        """All versions the server knows of, newest first, gone ones included (END). `quick_s` as in `metadata`.

        Raises:
            ModelNotFoundError: the server has never heard of the model or version.
            ServingUnavailableError: no answer in time.
        """
        request = status_pb2.GetModelStatusRequest(model_spec=wire_spec(model, version, None, ""))
        what = f"GetModelStatus of {in_words(model, version, None)}"
        reply = self._call(lambda stubs: stubs.status, request, what, quick_s=quick_s)
        return [
            VersionStatus(
                version=each.version,
                state=status_pb2.ModelVersionStatus.State.Name(each.state),
                error_code=status_pb2.Code.Name(each.status.error_code),
                error_message=each.status.error_message,
            )
            for each in reply.model_version_status
        ]

    def reload_config(self, config: ModelServerConfig, timeout_s: float | None = None) -> None:
        """Replace the server's configuration whole; returns when the models that are new in it are available.

        Args:
            config: all models from now on. A label may name only a version that is AVAILABLE already: load first, then label.
            timeout_s: deadline, loading included; None: this client's own.

        Raises:
            JobError: refused, in the server's words: a label of a version that is not available, a relative path, a model
                listed twice (the old configuration stays), or a new model that cannot be loaded (it stays configured).
            ServingUnavailableError: no answer in time; what the server did about it is unknown.
        """
        deadline = self._monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        request = management_pb2.ReloadConfigRequest(config=config)
        what = "HandleReloadConfigRequest"
        self._call(lambda stubs: stubs.reload_config, request, what, deadline=deadline, kind=Call.CHANGE)

    def ready(self, model: str | None = None) -> bool:
        """Whether the server answers at all, or, with a model, whether some version of it is AVAILABLE."""
        try:
            versions = self.model_status(model or "-")
        except ServingUnavailableError:
            return False
        except JobError:
            return model is None  # it answered, if only that it does not know the name
        return model is None or any(version.state == "AVAILABLE" for version in versions)

    def wait_ready(self, timeout_s: float, model: str | None = None, *, poll_s: float = 0.1) -> None:
        """Block until `ready`.

        Raises:
            ServingUnavailableError: it was not, in all that time.
        """
        deadline = self._monotonic() + timeout_s
        while not self.ready(model):
            if self._monotonic() >= deadline:
                wanted = f"model {model} with an AVAILABLE version" if model else "an answer"
                raise ServingUnavailableError(f"expected {wanted} at {self.address} within {timeout_s:g} s, got none")
            self._sleep(poll_s)

    def _check_version(self, reply: Any, version: int, what: str) -> None:
        answered = reply.model_spec.version.value
        if answered != version:
            raise ModelContractError(f"{what} at {self.address}: version {answered} answered instead")

    def _call(
        self,
        method: Callable[[Stubs], grpc.UnaryUnaryMultiCallable],
        request: Any,
        what: str,
        *,
        deadline: float | None = None,
        first: grpc.Future | None = None,
        kind: Call = Call.QUESTION,
        metadata: tuple[tuple[str, str], ...] | None = None,
        quick_s: float | None = None,
    ) -> Any:
        """Call until it succeeds, fails for good, or attempts or time run out. `first` is an attempt already under way."""
        metadata = metadata or call_metadata(current_traceparent())
        end = self._monotonic() + (quick_s or self.timeout_s) if deadline is None else deadline
        attempt = 0
        while True:
            left = max(end - self._monotonic(), 0.001)
            pending = method(self._channel.stubs()).future(request, timeout=left, metadata=metadata) if first is None else first
            first = None
            failure = _failure(pending)
            if failure is None:
                return pending.result()
            wait = self._retry.wait_s(attempt)
            attempt += 1
            too_late = quick_s is not None or attempt >= self._retry.attempts or self._monotonic() + wait >= end
            if not failure.may_pass(kind) or too_late or pending.cancelled():
                raise to_error(failure, what=what, address=self.address, call=kind)
            self._on_retry()
            self._sleep(wait)


def _failure(pending: grpc.Future) -> Failure | None:
    try:
        error = pending.exception()
    except grpc.FutureCancelledError:
        return Failure(grpc.StatusCode.CANCELLED, "cancelled on this side")
    return None if error is None else Failure.of(error)
