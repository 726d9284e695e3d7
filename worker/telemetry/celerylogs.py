"""Celery's part in the logs of worker and beat."""

from __future__ import annotations

import logging

from celery.signals import setup_logging


def keep_celery_from_logs() -> None:
    """Let Celery's programs write by these rules: they would raise the level to WARNING and put formats of their own in place.

    What Celery says of each single task and tick is left out at INFO: the task's own line says more.
    """
    setup_logging.connect(_set_up_already, weak=False)
    for name in ("celery.app.trace", "celery.worker.strategy", "celery.beat"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


def _set_up_already(**_: object) -> None:
    """Connected to Celery's signal, this alone keeps Celery from setting up logs."""
