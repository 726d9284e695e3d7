"""How long a million keys of a bucket take to list, in how much memory, and how many images a second are read from it.

    python -m benchmarks.bucket [--keys 1000000] [--images 400] [--latency 0.02]

The server is a stand-in on loopback that makes up the pages of ListObjectsV2 and answers each GET after a pause, as a bucket
across a network does. It runs in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qs, urlsplit

from core.archives.base import Archive, Member
from core.archives.detect import prepare_archive
from core.archives.open import open_archive
from core.archives.parallel import read_ahead
from core.settings import ApiSettings, Settings, StorageSettings
from core.storage.local import LocalStorage

PAGE = 1000
BODY = b"\xff\xd8\xff" + bytes(60_000)


def serve(port: multiprocessing.Queue[int], keys: int, latency_s: float) -> None:
    """A bucket of `keys` objects 2026/0000000.jpg and so on."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Not of interest."""

        def do_HEAD(self) -> None:
            self._answer(404, b"")

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if "list-type" in query:
                self._answer(200, page(keys, int(query.get("continuation-token", ["0"])[0])))
                return
            time.sleep(latency_s)
            self._answer(200, BODY)

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"x"')
            self.send_header("Last-Modified", "Thu, 26 Nov 2026 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    port.put(server.server_port)
    server.serve_forever()


def page(keys: int, start: int) -> bytes:
    """One answer of ListObjectsV2."""
    end = min(start + PAGE, keys)
    entry = (
        "<Contents><Key>2026/{:07}.jpg</Key><LastModified>2026-11-26T00:00:00.000Z</LastModified><ETag>x</ETag>"
        "<Size>{}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )
    contents = "".join(entry.format(number, len(BODY)) for number in range(start, end))
    more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < keys else ""
    truncated = str(end < keys).lower()
    return (
        '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>clinic</Name>'
        f"<IsTruncated>{truncated}</IsTruncated>{more}{contents}</ListBucketResult>"
    ).encode()


def first_members(archive: Archive, count: int) -> Iterator[tuple[int, Member]]:
    """Members with their numbers."""
    for number, member in enumerate(archive.members()):
        if number == count:
            return
        yield number, member


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--latency", type=float, default=0.02, help="of a GET, seconds")
    given = parser.parse_args()
    port: multiprocessing.Queue[int] = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(port, given.keys, given.latency), daemon=True)
    server.start()
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    storage = StorageSettings.model_validate(
        {"s3_endpoint": f"http://127.0.0.1:{port.get()}", "s3_access_key_id": "a", "s3_secret_access_key": "b"}
    )
    settings = Settings(api=ApiSettings(allow_s3_sources=("s3://clinic",)), storage=storage)
    with TemporaryDirectory() as folder:
        local = LocalStorage(Path(folder))
        archive = open_archive(
            prepare_archive({"kind": "s3", "uri": "s3://clinic/2026/"}, local, "x", settings), local, settings
        )
        before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
        count = sum(1 for _ in archive.members())
        took, grown = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(f"listed {count:,} keys in {took:.1f} s, {count / took:,.0f} keys/s, {grown / 1024:.0f} MB more memory")
        listed = list(first_members(archive, given.images))
        for name, reads in (("one after the other", ((n, m, archive) for n, m in listed)), ("read ahead", None)):
            began = time.perf_counter()
            if reads is not None:
                size = sum(len(of.read(member)) for _, member, of in reads)
            else:
                size = sum(len(read()) for _, _, read in read_ahead(archive, listed))
            took = time.perf_counter() - began
            print(f"{name}: {len(listed) / took:,.0f} images/s ({size / took / 1e6:.0f} MB/s)")
    server.terminate()


if __name__ == "__main__":
    main()
