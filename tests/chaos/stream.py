"""A stream of jobs over HTTP, by a client that does not give up; and what each of them must come to."""

from __future__ import annotations

import io
import json
import random
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

import httpx2

from tests.support.stack import jpeg

T = TypeVar("T")
SHADES = 50
ENDED = ("succeeded", "failed", "cancelled")
_PATIENCE_S = 240.0


class StuckError(Exception):
    """It did not come to an end in all that time."""


@cache
def picture(shade: int) -> bytes:
    """One of the pictures that a run is made of."""
    return jpeg(20 + shade)


@dataclass
class Job:
    """One job as its owner knows it."""

    number: int
    shades: list[int]  # of each item
    broken: frozenset[int]  # items that are cut off
    is_cancelled: bool
    is_retried: bool
    is_deleted: bool  # at once when it has ended
    id: str = ""
    end: dict[str, Any] = field(default_factory=dict)
    is_gone: bool = False
    problem: str = ""

    @classmethod
    def draw(cls, seed: int, number: int, most_items: int) -> Job:
        """The n-th job of a run; it depends on the arguments alone."""
        draw = random.Random(f"job/{seed}/{number}")
        items = draw.randint(1, most_items)
        broken = frozenset(draw.sample(range(items), min(items, 2))) if draw.random() < 0.3 else frozenset()
        return cls(
            number=number,
            shades=[draw.randrange(SHADES) for _ in range(items)],
            broken=broken,
            is_cancelled=draw.random() < 0.15,
            is_retried=bool(broken) and draw.random() < 0.5,
            is_deleted=draw.random() < 0.25,
        )

    def archive(self) -> bytes:
        """A ZIP, or a compressed TAR, which DermQ has to rewrite."""
        stream = io.BytesIO()
        members = [
            (f"{at:04}.jpg", picture(shade)[: 300 if at in self.broken else None]) for at, shade in enumerate(self.shades)
        ]
        if self.number % 4:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
                for name, data in members:
                    archive.writestr(name, data)
            return stream.getvalue()
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for name, data in members:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return stream.getvalue()


@dataclass
class Patience:
    """Nothing is called stuck while faults go on: only what does not end when all parts have been back for some time."""

    calm_since: float | None = None  # monotonic; None while faults go on

    def is_over(self, began: float) -> bool:
        """Whether something that began then (monotonic) should have ended."""
        return self.calm_since is not None and time.monotonic() > max(began, self.calm_since) + _PATIENCE_S


class Client:
    """Calls the API until it answers: whatever is away comes back."""

    def __init__(self, url: str, patience: Patience) -> None:
        self._http = httpx2.Client(base_url=url, timeout=15)
        self._patience = patience

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One request, tried again after 5xx and lost connections."""
        began = time.monotonic()
        while True:
            try:
                response = self._http.request(method, path, **options)
                if response.status_code < 500:
                    return response
                said = f"{response.status_code}: {response.text[:200]}"
            except httpx2.TransportError as error:
                said = f"{type(error).__name__}: {error}"
            if self._patience.is_over(began):
                raise StuckError(f"{method} {path}: {said}")
            time.sleep(0.2)

    def submit(self, job: Job, run: str) -> None:
        """Submitted under a key: a request whose answer was lost does not make a second job."""
        headers = {"Idempotency-Key": f"{run}/{job.number}", "Content-Type": "application/octet-stream"}
        answer = self.call("POST", "/v1/jobs", content=job.archive(), headers=headers)
        assert answer.status_code == 202, answer.text
        job.id = answer.json()["id"]

    def await_end(self, job: Job) -> dict[str, Any]:
        """Poll until the job has ended."""
        began = time.monotonic()
        while True:
            found: dict[str, Any] = self.call("GET", f"/v1/jobs/{job.id}").json()
            if found["state"] in ENDED:
                return found
            if self._patience.is_over(began):
                raise StuckError(f"job {job.id} is {found['state']}, waiting for {found['waiting_for']}: {found['counts']}")
            time.sleep(0.2)

    def rows(self, job: Job) -> list[dict[str, Any]]:
        """All rows, as a user downloads them; a download that was cut off is begun again."""
        began = time.monotonic()
        while True:
            text = self.call("GET", f"/v1/jobs/{job.id}/results.jsonl").text
            try:
                return [json.loads(line) for line in text.splitlines()]
            except ValueError:
                if self._patience.is_over(began):
                    raise
                time.sleep(0.2)


@dataclass
class Stream:
    """Keeps some jobs under way until it is told that it is enough."""

    url: str
    run: str
    seed: int
    width: int  # jobs at a time
    most_items: int
    check: Callable[[Client, Job], None]
    patience: Patience = field(default_factory=Patience)
    jobs: list[Job] = field(default_factory=list)
    enough: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self._threads = [threading.Thread(target=self._work, name=f"jobs-{number}") for number in range(self.width)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """All parts are back: no new job; those under way end."""
        self.patience.calm_since = time.monotonic()
        self.enough.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        client = Client(self.url, self.patience)
        while not self.enough.is_set():
            with self._lock:
                job = Job.draw(self.seed, len(self.jobs), self.most_items)
                self.jobs.append(job)
            try:
                self._live(client, job)
            except (StuckError, AssertionError) as error:
                job.problem = f"{type(error).__name__}: {error}"
        client.close()

    def _live(self, client: Client, job: Job) -> None:
        client.submit(job, self.run)
        if job.is_cancelled:
            time.sleep(random.Random(f"cancel/{self.seed}/{job.number}").uniform(0, 2))
            client.call("POST", f"/v1/jobs/{job.id}/cancel")
        job.end = client.await_end(job)
        self.check(client, job)
        if job.is_retried and job.end["state"] == "succeeded":
            client.call("POST", f"/v1/jobs/{job.id}/retry")
            job.end = client.await_end(job)
            self.check(client, job)
        if job.is_deleted:
            answer = client.call("DELETE", f"/v1/jobs/{job.id}")
            assert answer.status_code in (204, 404), answer.text
            job.is_gone = True
