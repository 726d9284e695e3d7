"""Screen an archive from Python, with the standard library only.

    python screen.py ARCHIVE [SERVER]

Prints the riskiest images and what could not be read. SERVER is http://127.0.0.1:8080 by default.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

ENDED = ("succeeded", "failed", "cancelled")


def main(archive: str, server: str = os.environ.get("DERMQ_SERVER", "http://127.0.0.1:8080")) -> int:
    """Submit, wait, show. Returns the exit status: 0 if the job succeeded."""
    job = submit(server, Path(archive))
    while job["state"] not in ENDED:
        time.sleep(1)
        job = get(job["links"]["self"])
    counts = job["counts"]
    print(f"job {job['id']} {job['state']}: {counts['succeeded']} classified, {counts['failed']} failed")
    for row in get(f"{job['links']['results']}?sort=-risk&limit=5")["data"]:
        print(f"{row['risk'] or 0:6.3f}  {row['label'] or '-':6}  {row['name']}")
    for failure in get(job["links"]["errors"])["data"]:
        print(f"{failure['code']}: {failure['name']}: {failure['message']}")
    return 0 if job["state"] == "succeeded" else 1


def submit(server: str, archive: Path) -> dict[str, Any]:
    """Send the archive as it lies on the disk: the file is streamed, not read into memory.

    The key makes it safe to send again after a lost connection: the same key and the same file give the same job.
    """
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(archive.stat().st_size),
        "Idempotency-Key": f"{archive.name}-{archive.stat().st_size}-{archive.stat().st_mtime_ns}",
    }
    with archive.open("rb") as body:
        return ask(Request(f"{server}/v1/jobs/{quote(archive.name)}", body, headers, method="PUT"))


def get(url: str) -> dict[str, Any]:
    """The JSON at an address of the server."""
    return ask(Request(url))


def ask(request: Request) -> dict[str, Any]:
    """The answer to a request; a problem of the server becomes a readable error."""
    try:
        with urlopen(request, timeout=60) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except HTTPError as error:
        problem = json.load(error)
        raise SystemExit(f"{problem['code']}: {problem['detail']} (request {problem['request_id']})") from error


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
