"""The environment that the parts of a stack get."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.stack.folder import DataFolder
from cli.stack.parts import Addresses
from cli.stack.state import STACK_VARIABLE
from core.childprocess import python_environment
from core.settings import ApiSettings, EgressSettings

_SERVING_SECURITY = tuple(f"DERMQ_SERVING_{name}" for name in ("TLS", "CA", "CERTIFICATE", "KEY", "TOKEN"))


@dataclass(frozen=True, slots=True)
class Sources:
    """What jobs may name as their source."""

    roots: tuple[Path, ...] = ()  # folders of this machine
    s3: tuple[str, ...] = ()  # s3://bucket/prefix
    https: tuple[str, ...] = ()  # TENANT=https://host/prefix

    def with_settings(self, settings: ApiSettings, egress: EgressSettings) -> Sources:
        """Together with what the settings allow."""
        roots = {path.resolve() for path in (*self.roots, *settings.source_roots)}
        return Sources(
            tuple(sorted(roots)),
            tuple(sorted({*self.s3, *settings.allow_s3_sources})),
            tuple(sorted({*self.https, *egress.https_sources})),
        )


def make_environment(
    folder: DataFolder, addresses: Addresses, *, stack_id: str, sources: Sources, models: Sequence[str]
) -> dict[str, str]:
    """The environment of every part: this one's, with the stack's own DERMQ_ settings on top."""
    return {
        **python_environment(),  # the parts run in the data folder
        "DERMQ_DATA_DIR": str(folder.root),
        "DERMQ_BROKER_URL": addresses.broker_url,
        "DERMQ_SERVING_ADDRESS": addresses.serving,
        **dict.fromkeys(_SERVING_SECURITY, ""),  # the stack's own Serving is spoken to in the clear, on the loopback interface
        "DERMQ_API_HOST": addresses.host,
        "DERMQ_METRICS_HOST": os.environ.get("DERMQ_METRICS_HOST") or addresses.host,
        "DERMQ_API_PORT": str(addresses.api_port),
        "DERMQ_API_SOURCE_ROOTS": json.dumps([str(path) for path in sources.roots]),
        "DERMQ_API_ALLOW_S3_SOURCES": json.dumps(list(sources.s3)),
        "DERMQ_EGRESS_HTTPS_SOURCES": json.dumps(list(sources.https)),
        "DERMQ_API_MODELS": json.dumps(list(models)),
        STACK_VARIABLE: stack_id,
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    }
