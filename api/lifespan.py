"""Opens what requests use, and closes it in the opposite order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

from fastapi import FastAPI
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from api.decoders import DecoderPool
from api.interactive.direct import DirectClassifier
from api.metrics import render_page
from api.pictures import PictureMaker
from api.publisher import Publisher
from api.resources import Resources
from api.timekeeping import Timekeeper
from api.watching import make_watch
from core.clock import Clock, SharedClock, SystemClock
from core.db.engine import open_engine, read_time, transaction
from core.db.waiting import SILENT, note_waiting
from core.settings import MetricsSettings, Settings
from core.storage.factory import open_storage
from core.telemetry.logs import get_logger
from core.telemetry.tracing import close_tracing, configure_tracing
from serving.client import PredictClient

if TYPE_CHECKING:
    from core.telemetry.metricsserver import MetricsServer

_MODEL_TIMEOUT_S = 5.0  # for questions about models; somebody is waiting for the page


def make_lifespan(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """The application's lifespan. Nothing is contacted: the process starts, and answers /healthz, with everything else away."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = open_engine(settings.database_url, settings.database)
        clock = SharedClock(lambda: read_time(engine), until_known=SystemClock())
        publisher = Publisher(settings, on_lost=_noting(engine, clock))
        serving = settings.serving
        client = PredictClient(serving.address, min(_MODEL_TIMEOUT_S, serving.timeout_s), security=serving)
        storage = open_storage(settings.storage_url, settings.storage)
        decoders = DecoderPool(settings.pictures)
        pictures = PictureMaker(settings.pictures, settings.image, decoders)
        direct = DirectClassifier(settings, engine, storage, decoders, clock)
        resources = Resources(settings, engine, storage, publisher, client, pictures, direct, clock=clock)
        app.state.resources = resources
        configure_tracing(settings.tracing, "dermq-api")
        timekeeper = Timekeeper(clock)
        timekeeper.start()
        watch = make_watch(settings, engine, publisher)
        if settings.api.watch_interval_s:
            watch.start()
        page = _serve_metrics(resources)
        log = get_logger(__name__)
        log.info("ready", database=engine.url.render_as_string(), storage=settings.storage_url)
        try:
            yield
        finally:
            await run_in_threadpool(watch.close)
            await run_in_threadpool(timekeeper.close)
            await run_in_threadpool(publisher.close)
            await run_in_threadpool(direct.close)
            await run_in_threadpool(decoders.close)
            client.close()
            if page is not None:
                await run_in_threadpool(page.close)
            engine.dispose()
            await run_in_threadpool(close_tracing)
            log.info("closed")

    return lifespan


def _serve_metrics(here: Resources) -> MetricsServer | None:
    """The page of metrics on a port of its own, if there is to be one."""
    settings = here.settings
    if not settings.api.metrics_port:
        return None
    from core.telemetry.metricsserver import serve_metrics  # noqa: PLC0415 - most servers have no such page

    where = MetricsSettings(host=settings.metrics.host, port=settings.api.metrics_port)
    return serve_metrics(where, lambda: render_page(settings, here.engine, here.drift, here.clock.now()))


def _noting(engine: Engine, clock: Clock) -> Callable[[UUID], None]:
    def note(job_id: UUID) -> None:
        with transaction(engine) as session:
            note_waiting(session, job_id, SILENT.format("broker"), clock.now())

    return note
