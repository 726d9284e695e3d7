"""For probes and dashboards. Liveness asks nothing but this process: no outage elsewhere is a reason to restart it."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from fastapi import APIRouter, Response
from sqlalchemy import select

from api.errors import list_kinds
from api.metrics import render_page
from api.resources import Here, Resources
from api.schemas import Check, Readiness
from api.watching import check_workers
from core.db.engine import reading
from core.db.models import Tenant
from core.errors import DatabaseUnavailableError, DermqError, NotFoundError, ServingUnavailableError
from core.telemetry.metrics import CONTENT_TYPE

router = APIRouter(tags=["operations"])

_CHECK_S = 4.0
_PROBES = anyio.CapacityLimiter(8)  # threads of their own: a probe that hangs must not take one from a request


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> dict[str, str]:
    """Always 200, as long as the event loop turns."""
    return {"status": "ok"}


@router.get("/readyz", summary="Can jobs be taken?", responses={503: {"model": Readiness, "description": "Not ready."}})
async def readyz(here: Here, response: Response) -> Readiness:
    """503 if database, storage or broker are away. Without Serving it is `degraded`, with 200: jobs are taken, and wait.

    The same holds where no worker gives a sign of life though there is work.
    """
    checks: dict[str, Check] = {}
    async with anyio.create_task_group() as group:
        for name, probe in _probes(here).items():
            group.start_soon(_run_check, checks, name, probe)
    failed = {name for name, check in checks.items() if check.status == "error"}
    status = "error" if failed - {"serving", "worker"} else "degraded" if failed else "ok"
    response.status_code = 503 if status == "error" else 200
    response.headers["Cache-Control"] = "no-store"
    return Readiness(status=status, checks=dict(sorted(checks.items())))


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
def metrics(here: Here) -> Response:
    """Requests of this process; jobs, items and capacity of the whole installation. Without the database, only the former."""
    return Response(render_page(here.settings, here.engine, here.drift, here.clock.now()), media_type=CONTENT_TYPE)


@router.get("/v1/problems/{code}", summary="What a problem means", include_in_schema=False)
def explain_problem(code: str) -> dict[str, str | int]:
    """The page behind a problem's `type`."""
    for kind in list_kinds():
        if kind.code == code:
            return {"code": kind.code, "title": kind.title, "status": kind.status, "meaning": kind.meaning}
    raise NotFoundError(f"no problem {code!r}; the `detail` of the answer says more")


def _probes(here: Resources) -> dict[str, Callable[[], None]]:
    def database() -> None:
        with reading(here.engine) as session:
            session.execute(select(Tenant.id).limit(1))

    def serving() -> None:
        if not here.client.ready():
            raise ServingUnavailableError(f"{here.client.address} does not answer")

    def worker() -> None:
        try:
            check_workers(here.engine, here.settings.worker.lease_s)
        except DatabaseUnavailableError:
            return  # another check says so

    return {
        "database": database,
        "storage": here.storage.check,
        "broker": here.publisher.check,
        "serving": serving,
        "worker": worker,
    }


async def _run_check(checks: dict[str, Check], name: str, probe: Callable[[], None]) -> None:
    try:
        with anyio.fail_after(_CHECK_S):
            await anyio.to_thread.run_sync(probe, abandon_on_cancel=True, limiter=_PROBES)
        checks[name] = Check(status="ok")
    except TimeoutError:
        checks[name] = Check(status="error", error=f"no answer within {_CHECK_S:g} s")
    except DermqError as error:
        checks[name] = Check(status="error", error=str(error).partition("\n")[0])
