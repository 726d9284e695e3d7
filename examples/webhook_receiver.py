"""Receives DermQ's webhooks, and believes only what is signed: standard library alone.

    dermq webhooks create https://hooks.example/dermq > secret.txt
    WEBHOOK_SECRET_FILE=secret.txt python examples/webhook_receiver.py --port 9000

Put a proxy with TLS before it. Messages are Standard Webhooks: three headers, HMAC-SHA256 over id, timestamp and body.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOLERANCE_S = 300  # an older message may be one that somebody has recorded
LARGEST = 100_000


def verify(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> bool:
    """Whether the owner of the secret has signed these very bytes, just now."""
    message_id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()) or abs(now - int(stamp)) > TOLERANCE_S:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, f"{message_id}.{stamp}.".encode() + body, hashlib.sha256).digest())
    given = headers.get("webhook-signature", "").split()  # two of them while a secret is replaced
    return any(hmac.compare_digest(b"v1," + wanted, each.encode()) for each in given)


class Receiver(BaseHTTPRequestHandler):
    """Prints each message once: a message that comes again has the id that it had before."""

    secret = ""
    seen: set[str] = set()  # noqa: RUF012 - of all requests; keep it in a database if it must outlive the program

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, LARGEST))
        if not verify(self.secret, self.headers, body, time.time()):
            self.send_error(401)
            return
        self.send_response(204)  # answer soon, work later: DermQ waits for five seconds
        self.end_headers()
        if self.headers["webhook-id"] not in self.seen:
            self.seen.add(self.headers["webhook-id"])
            message = json.loads(body)
            print(message["type"], json.dumps(message["data"]), flush=True)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=9000)
    chosen = parser.parse_args()
    Receiver.secret = Path(os.environ["WEBHOOK_SECRET_FILE"]).read_text().strip()
    with ThreadingHTTPServer(("127.0.0.1", chosen.port), Receiver) as server:
        print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
