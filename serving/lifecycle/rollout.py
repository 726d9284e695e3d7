"""Promote, rollback, retire: small steps, each proved before the next one, each failure taken back, all of it in the ledger.

A label moves last. Servers check labels before they load, so promote is: load, wait for AVAILABLE, ask the golden batch, label.
The file is written before the servers are asked to reload: a server that restarts in between does not fall behind the others.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Engine

from core.clock import Clock, SystemClock
from core.db.engine import reading, transaction
from core.db.versions import (
    ModelAction,
    ModelOutcome,
    NewEvent,
    PinnedJob,
    find_label_moves,
    find_pinned_jobs,
    record_event,
    version_before,
)
from core.errors import ConflictError, DermqError, InvalidRequestError, WorseModelError
from core.modelspec import ModelSpec
from core.telemetry.logs import get_logger
from serving.lifecycle.configfile import STABLE, ModelsConfig
from serving.lifecycle.fleet import Fleet
from serving.lifecycle.gate import judge_promotion
from serving.lifecycle.golden import Golden
from serving.repository import ModelRepository, ModelVersion

_log = get_logger(__name__)
_POLL_JOBS_S = 1.0


@dataclass(frozen=True)
class Moved:
    """What a rollout has done."""

    model: str
    version: int | None  # None: the label is gone
    label: str | None
    previous: int | None  # the version that bore the label before
    detail: str


@dataclass(frozen=True)
class _Gate:
    """Whether figures that are worse stop a promotion."""

    force: bool

    def pass_or_refuse(self, candidate: ModelSpec, replaced: ModelSpec | None, asked: NewEvent) -> tuple[str, ...]:
        """What is to be recorded with the promotion; raises WorseModelError."""
        judged = judge_promotion(candidate, replaced)
        if judged.objections and not self.force:
            raise WorseModelError(
                f"{asked.model} version {asked.version} is not promoted: {'; '.join(judged.objections)}. To promote it all the "
                f"same: `dermq promote {asked.model} {asked.version} --force`; to try it on some jobs: `--label canary`"
            )
        forced = ("forced",) if judged.objections else ()
        return (*forced, *judged.objections, *judged.notes)


@dataclass
class Rollout:
    """One operator's hands on the model servers. One rollout at a time: a lock file beside the configuration sees to it."""

    repository: ModelRepository
    config_path: Path
    fleet: Fleet
    engine: Engine
    actor: str
    timeout_s: float = 120.0  # for loading, and for unloading
    clock: Clock = field(default_factory=SystemClock)
    tell: Callable[[str], None] = _log.info  # what is being waited for
    sleep: Callable[[float], None] = time.sleep

    def promote(self, model: str, version: int, label: str = STABLE, *, force: bool = False) -> Moved:
        """Put a label on a version, once it is loaded and has answered its golden batch as recorded.

        Args:
            model: its model.
            version: its number.
            label: `stable` only where its figures are not worse (serving.lifecycle.gate).
            force: also where they are.

        Raises:
            WorseModelError: its figures speak against it, and `force` is not given.
            DermqError: refused, with the reason; configuration and labels are as they were, and the refusal is recorded.
        """
        asked = NewEvent(self.actor, ModelAction.PROMOTE, model, version, label)
        with self._audited(asked), self._locked() as known:
            return self._move(known, asked, gate=_Gate(force) if label == STABLE else None)

    def rollback(self, model: str, label: str = STABLE) -> Moved:
        """Put a label back on the version that bore it before; a label that had none before goes (but for `stable`).

        Raises:
            DermqError: as `promote`.
        """
        asked = NewEvent(self.actor, ModelAction.ROLLBACK, model, None, label)
        with self._audited(asked), self._locked() as known:
            with reading(self.engine) as session:
                target = version_before(find_label_moves(session, model, label), known.labels(model).get(label))
            if target is None:
                return self._take_label(known, asked, f"nobody has moved label {label!r} of {model} before")
            return self._move(known, replace(asked, version=target))

    def unlabel(self, model: str, label: str) -> Moved:
        """Take a label away; the version stays loaded. Raises as `promote`."""
        asked = NewEvent(self.actor, ModelAction.UNLABEL, model, None, label)
        with self._audited(asked), self._locked() as known:
            return self._take_label(known, asked, "jobs that name no label ask for it")

    def retire(self, model: str, version: int, *, wait_s: float = 0.0) -> Moved:
        """Unload a version that nobody needs.

        Args:
            model: its model.
            version: bears no label, and no job that has not ended is pinned to it.
            wait_s: how long to wait for such jobs.

        Raises:
            DermqError: as `promote`; the jobs are named.
        """
        asked = NewEvent(self.actor, ModelAction.RETIRE, model, version)
        with self._audited(asked):
            self._check_retirable(ModelsConfig.read(self.config_path), model, version)
            self._await_jobs(model, version, wait_s)  # without the lock: it may take hours
            with self._locked() as known, self._restoring(known):
                left = self._check_retirable(known, model, version)
                self._apply(known.with_versions(model, left))
                self._await_jobs(model, version, 0.0)  # one may have been submitted meanwhile: then the version comes back
                self.fleet.await_gone(model, version, self.timeout_s)
                return self._record(asked, f"unloaded; still loaded: {_numbers(left)}")

    def _move(self, known: ModelsConfig, asked: NewEvent, *, gate: _Gate | None = None) -> Moved:
        model, version, label = asked.model, asked.version, asked.label
        if version is None or label is None:
            raise AssertionError(f"a move needs a version and a label: {asked}")
        candidate = self.repository.version(model, version)
        candidate.check_files()
        _require_golden(candidate)
        previous = known.labels(model).get(label) if model in known.models else None
        with self._restoring(known):
            self.tell(f"loading {model} version {version}")
            loaded = self._load(known, candidate)
            self.tell(f"asking {model} version {version} its golden batch")
            verified = self.fleet.verify(candidate)
            said = gate.pass_or_refuse(verified.spec, self._spec_of(model, previous), asked) if gate else ()
            self._apply(loaded.with_label(model, label, version))
            self.fleet.check_label(model, label, version)
            detail = f"golden batch of {verified.golden_images}: largest difference {verified.largest_difference:.2g}"
            return self._record(replace(asked, previous=previous), "; ".join((detail, *said)))

    def _spec_of(self, model: str, version: int | None) -> ModelSpec | None:
        """What the version that bears the label now says of itself; None where there is none that could be asked."""
        if version is None:
            return None
        try:
            return self.repository.version(model, version).spec() or self.fleet.describe(model, version)
        except DermqError as error:
            _log.warning("replaced_version_says_nothing", model=model, version=version, error=str(error))
            return None

    def _load(self, known: ModelsConfig, candidate: ModelVersion) -> ModelsConfig:
        model, base_path = candidate.model, self.repository.base_path(candidate.model)
        if model in known.models:
            versions = self._loaded(known, model) | {candidate.number}
            wanted = known.with_model(model, base_path, versions, known.labels(model))
        else:
            wanted = known.with_model(model, base_path, [candidate.number], {})
        self._apply(wanted)
        self.fleet.await_available(model, candidate.number, self.timeout_s)
        return wanted

    def _take_label(self, known: ModelsConfig, asked: NewEvent, reason: str) -> Moved:
        labels = known.labels(asked.model)
        if asked.label is None or asked.label not in labels:
            raise ConflictError(f"model {asked.model} has no label {asked.label!r}: it has {labels}")
        if asked.label == STABLE:
            raise ConflictError(f"{asked.model} cannot be without {STABLE!r}: {reason}; promote another version instead")
        with self._restoring(known):
            self._apply(known.with_label(asked.model, asked.label, None))
            return self._record(replace(asked, previous=labels[asked.label]), "the label is gone; its version stays loaded")

    def _loaded(self, known: ModelsConfig, model: str) -> set[int]:
        """What the configuration keeps loaded; under another policy than `specific`, what the servers have."""
        versions = known.versions(model)
        return set(versions) if versions is not None else self.fleet.available(model)

    def _check_retirable(self, known: ModelsConfig, model: str, version: int) -> set[int]:
        """The versions that stay loaded; raises ConflictError if this one must stay, too."""
        loaded = self._loaded(known, model)
        if version not in loaded:
            raise ConflictError(f"{model} version {version} is not loaded: {_numbers(loaded)} are")
        bearing = sorted(label for label, number in known.labels(model).items() if number == version)
        if bearing:
            raise ConflictError(
                f"{model} version {version} bears {' and '.join(map(repr, bearing))}: put the label on another version first "
                "(`dermq promote`, `dermq rollback`, `dermq models unlabel`)"
            )
        if loaded == {version}:
            raise ConflictError(f"{model} version {version} is the only one that is loaded: promote another first")
        return loaded - {version}

    def _apply(self, config: ModelsConfig) -> None:
        config.write(self.config_path)
        self.fleet.configure(config, self.timeout_s)

    def _await_jobs(self, model: str, version: int, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        while True:
            with reading(self.engine) as session:
                jobs = find_pinned_jobs(session, model, version)
            if not jobs:
                return
            if time.monotonic() >= deadline:
                raise ConflictError(
                    f"{model} version {version} is needed by {_name_jobs(jobs)}: wait for them (--wait) or cancel them"
                )
            self.tell(f"waiting for {_name_jobs(jobs)}")
            self.sleep(_POLL_JOBS_S)

    @contextmanager
    def _audited(self, asked: NewEvent) -> Iterator[None]:
        """Record a refusal; what is done is recorded where it is done, so that nothing is done without."""
        try:
            self.fleet.require_ready()
            yield
        except (DermqError, KeyboardInterrupt) as error:
            detail = str(error) or type(error).__name__
            with transaction(self.engine) as session:
                record_event(session, replace(asked, outcome=ModelOutcome.REFUSED, detail=detail), self.clock.now())
            raise

    @contextmanager
    def _locked(self) -> Iterator[ModelsConfig]:
        """One at a time; the present configuration."""
        path = self.config_path.with_name(f".{self.config_path.name}.lock")
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConflictError(f"another rollout is under way on {self.config_path}: try again when it is done") from error
            yield ModelsConfig.read(self.config_path)

    @contextmanager
    def _restoring(self, known: ModelsConfig) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            try:
                self._apply(known)
            except DermqError as second:
                _log.error("configuration_not_restored", file=str(self.config_path), error=str(second))
                error.add_note(f"The file is as it was, but a server did not take it back: {second}. Restart that server.")
            raise

    def _record(self, done: NewEvent, detail: str) -> Moved:
        with transaction(self.engine) as session:
            record_event(session, replace(done, detail=detail), self.clock.now())
        return Moved(done.model, done.version, done.label, done.previous, detail)


def _require_golden(version: ModelVersion) -> None:
    if Golden.load(version) is None:
        raise InvalidRequestError(
            f"{version.model} version {version.number} has no golden batch to tell whether a server computes it right: "
            f"record one with `dermq models verify {version.model} {version.number} --record`"
        )


def _name_jobs(jobs: list[PinnedJob]) -> str:
    named = ", ".join(f"{job.id} ({job.name}, {job.state}, {job.remaining} items left)" for job in jobs[:5])
    more = f" and {len(jobs) - 5} more" if len(jobs) > 5 else ""
    return f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}: {named}{more}"


def _numbers(versions: set[int]) -> str:
    return ", ".join(map(str, sorted(versions))) or "none"
