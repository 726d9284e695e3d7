"""How much work there is, what limits its speed, and how many worker processes are worth running. Pure arithmetic.

    work = (pending + in flight + unlisted) x seconds per item
    needed = work / drain_s                             processes that would be done in that time
    useful = present x (1 - share) / (1 - limit)        where workers wait for more than `limit` of their time, else no bound
    recommended = max(1, ceil(min(needed, useful)))

`share` is the part of the busy time spent waiting for Serving (limit 1/2) or for a free core (limit 1/4); `present` is how many
processes were busy on average meanwhile. What they did themselves, present x (1 - share), is all that Serving or the cores let
through: fewer processes, each of them waiting for `limit` of its time, do the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from core.db.throughput import Backlog, Throughput
from core.settings import MetricsSettings

SERVING_LIMIT = 0.5
CORE_LIMIT = 0.25


class Bottleneck(StrEnum):
    """What limits the throughput."""

    IDLE = "idle"  # nothing is to do, or nothing was measured lately
    WORKERS = "workers"  # the workers are busy with their own work: more of them are faster
    SERVING = "serving"  # they wait for answers: more of them only wait longer
    CORES = "cores"  # they wait for a free core: more of them on these machines only share it


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What `dermq doctor` and the API's page tell."""

    work_s: float  # seconds of one process for all there is to do
    item_s: float  # seconds of one process for one item
    is_measured: bool  # else `item_s` is the default
    serving_share: float  # of the busy time: waiting for Serving, 0 to 1
    core_share: float  # of the busy time: waiting for a core, 0 to 1
    bottleneck: Bottleneck
    workers: int  # processes


def recommend_workers(
    backlog: Backlog, throughput: Throughput | None, settings: MetricsSettings, chunk_items: int
) -> Recommendation:
    """Recommend how many worker processes finish the backlog as soon as the settings ask for.

    Args:
        backlog: what is to do.
        throughput: what the newest chunks took; None if none was measured.
        settings: the default of seconds per item, and how soon all should be done.
        chunk_items: what a job that nobody has listed yet counts for.
    """
    item_s = throughput.item_s if throughput else settings.item_s
    items = backlog.items_pending + backlog.items_in_flight
    items += backlog.unlisted_archives * chunk_items + backlog.unlisted_images
    work_s = items * item_s
    serving_share, core_share = (throughput.serving_share, throughput.core_share) if throughput else (0.0, 0.0)
    bottleneck = _find_bottleneck(throughput, work_s)
    workers = work_s / settings.drain_s
    if throughput and bottleneck is Bottleneck.SERVING:
        workers = min(workers, throughput.processes * (1 - serving_share) / (1 - SERVING_LIMIT))
    elif throughput and bottleneck is Bottleneck.CORES:
        workers = min(workers, throughput.processes * (1 - core_share) / (1 - CORE_LIMIT))
    return Recommendation(
        work_s, item_s, throughput is not None, serving_share, core_share, bottleneck, max(1, math.ceil(round(workers, 6)))
    )


def _find_bottleneck(throughput: Throughput | None, work_s: float) -> Bottleneck:
    if throughput is None or not throughput.is_recent or not work_s:
        return Bottleneck.IDLE
    if throughput.serving_share > SERVING_LIMIT:
        return Bottleneck.SERVING
    return Bottleneck.CORES if throughput.core_share > CORE_LIMIT else Bottleneck.WORKERS
