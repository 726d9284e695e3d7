"""A real HTTP server whose answers a test lays out: what the command line does about answers, good and bad."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.httpserver import QuietHandler, serving_http


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    target: str = ""  # path and query, as sent


@dataclass
class Answer:
    """One answer; `body` is JSON unless it is bytes."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    drop: bool = False  # close the connection instead of answering


class LaidOutServer:
    """Answers by method and path, each list in turn, its last entry for ever."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: list[Seen] = []
        self._answers: dict[tuple[str, str], list[Answer]] = {}

    def lay(self, method: str, path: str, *answers: Answer) -> None:
        self._answers[method, path] = list(answers)

    def next_answer(self, method: str, path: str) -> Answer:
        queue = self._answers.get((method, path))
        if not queue:
            return Answer({"detail": f"nothing is at {path}", "title": "Not found"}, 404, kind="application/problem+json")
        return queue.pop(0) if len(queue) > 1 else queue[0]


@contextmanager
def laid_out_server() -> Iterator[LaidOutServer]:
    """The server, on a loopback port of its own."""
    laid: LaidOutServer

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def _read_body(self) -> bytes:
            if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            blocks = []
            while size := int(self.rfile.readline(), 16):
                blocks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(blocks)

        def _serve(self) -> None:
            address = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(address.query).items()}
            laid.seen.append(Seen(self.command, address.path, query, dict(self.headers), self._read_body(), self.path))
            answer = laid.next_answer(self.command, address.path)
            if answer.drop:
                self.close_connection = True
                return
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _serve

    with serving_http(Handler) as port:
        laid = LaidOutServer(f"http://127.0.0.1:{port}")
        yield laid
