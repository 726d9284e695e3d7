"""`python -m api`: the HTTP server. Ends in order on SIGTERM and SIGINT: streams first, then requests, then connections."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from types import FrameType

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.binding import UnsafeBindingError, check_keys
from api.heads import TimedHeads
from api.resources import Resources
from core.environment import start_process
from core.settings import Settings
from core.telemetry.logs import get_logger

# An export makes a tuple for each row, and none of them is in a cycle. With Python's thresholds (700, 10, 10), and with all
# modules among what is looked through, the collector takes half of an export's time.
_COLLECTOR_THRESHOLDS = (50_000, 10, 10)
_GRACE_S = 20  # for requests that run when the server is asked to stop


class Server(uvicorn.Server):
    """Ends the application's streams when the process is asked to stop. They would not end by themselves."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        resources: Resources | None = getattr(self._app.state, "resources", None)
        if resources is not None:  # else it has not started yet
            resources.stopping.set()
        super().handle_exit(sig, frame)


def make_server(settings: Settings) -> Server:
    """A server that is ready to run."""
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api.host,
        port=settings.api.port,
        log_config=None,
        access_log=False,  # api.middleware writes one line per request, with its id
        server_header=False,
        http=TimedHeads,
        timeout_graceful_shutdown=_GRACE_S,
    )
    return Server(config, app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until the process is asked to stop.

    Args:
        arguments: of the command line, without the name of the program; by default those of this process.
    """
    parser = argparse.ArgumentParser(prog="python -m api", description="The HTTP server of DermQ, set up by DERMQ_* variables.")
    parser.add_argument("--fd", type=int, help="file descriptor of a listening socket to answer on, instead of host and port")
    fd = parser.parse_args(arguments).fd
    settings = start_process()
    try:
        server = make_server(settings)
        check_keys(settings)
    except UnsafeBindingError as error:
        get_logger(__name__).error("refused to start", reason=str(error))
        return 2
    server.run(sockets=None if fd is None else [socket.socket(fileno=fd)])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
