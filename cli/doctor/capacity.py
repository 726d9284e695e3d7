"""What `dermq doctor` says about the number of workers: read off the server's /metrics, in words."""

from __future__ import annotations

import re
import urllib.error
import urllib.request

from cli.doctor.findings import Finding, Grade
from core.formats import format_count, format_duration

_LINE = re.compile(r'^(dermq_\w+)(?:\{\w+="(\w+)"\})? (\S+)$', re.MULTILINE)
_LIMITS = {
    "workers": ("their own work is the limit", "Run more: docker compose up -d --scale worker=N, or DERMQ_WORKER_CONCURRENCY."),
    "serving": (
        "they wait for the model server {serving:.0%} of the time",
        "More workers would only wait longer: give the model server more cores, a GPU, or replicas.",
    ),
    "cores": (
        "they wait for a free core {core:.0%} of the time",
        "More workers on these machines would only share the cores: run them on another machine, or run fewer.",
    ),
}


def check_capacity(url: str) -> Finding | None:
    """How much there is to do, what limits the speed, and how many worker processes are worth running.

    Args:
        url: base URL of a server that is ready, http or https.

    Returns:
        None where the server does not show its metrics: it may be an older one, or a proxy may hide them.
    """
    found = _read_metrics(url)
    return describe_capacity(found) if ("dermq_workers_recommended", None) in found else None


def _read_metrics(url: str) -> dict[tuple[str, str | None], float]:
    """Values by name and only label; none where the page cannot be read."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/metrics", timeout=10) as answer:  # noqa: S310 - the caller's URL
            page = answer.read().decode("utf-8", "replace")
    except (OSError, ValueError):
        return {}
    return {(name, label): float(value) for name, label, value in map(re.Match.groups, _LINE.finditer(page))}


def check_left_over(url: str) -> Finding:
    """Whether the storage holds what no job knows of (found by the workers' slow scan), or what is still to be deleted.

    Args:
        url: base URL of a server that is ready, http or https.
    """
    found = _read_metrics(url)
    if ("dermq_storage_strays", None) not in found:
        return Finding("storage", Grade.WARN, "the server does not tell of it", "Its /metrics may be hidden.")
    strays, marked = (round(found[f"dermq_storage_{name}", None]) for name in ("strays", "tombstones"))
    deleted = round(found.get(("dermq_deleted_jobs", None), 0.0))  # absent from servers before 0.2
    if not strays and not marked and not deleted:
        return Finding("storage", Grade.OK, "all that the last scan met belongs to a job")
    detail = f"{format_count(strays)} places belong to no job, {format_count(marked)} are to be deleted"
    if deleted:
        detail += f"; deleted jobs with rows in the ledger: {format_count(deleted)}"
    advice = "They go by themselves, a day after they were found. If they stay, the worker's log says why: objects_not_deleted."
    return Finding("storage", Grade.WARN, detail, advice)


def describe_capacity(found: dict[tuple[str, str | None], float]) -> Finding:
    """The finding for the values of a page, by name and only label."""
    wanted, busy = round(found["dermq_workers_recommended", None]), round(found["dermq_chunks_running", None])
    items = found["dermq_items_pending", None] + found["dermq_items_in_flight", None]
    said = "1 worker process is" if wanted == 1 else f"{format_count(wanted)} worker processes are"
    limit = next((part for part in _LIMITS if found.get(("dermq_bottleneck", part))), None)
    if limit is None:
        return Finding("workers", Grade.OK, f"{said} recommended; {format_count(round(items))} images to do")
    sentence, advice = _LIMITS[limit]
    shares = {part: found["dermq_worker_time_share", part] for part in ("serving", "core")}
    work = format_duration(found["dermq_work_seconds_pending", None])
    detail = f"{said} recommended, {busy} at work; {format_count(round(items))} images to do ({work} for one process); "
    grade = Grade.OK if limit == "workers" and wanted <= busy else Grade.WARN
    return Finding("workers", grade, detail + sentence.format(**shares), advice if grade is Grade.WARN else "")
