"""nginx as a reverse proxy, with the lines of docs/how-to/behind-a-proxy.md and a path of one's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.servers import accepts, running, wait_until

_CONFIG = """
daemon off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port}{tls};
    {locations}
    location / {{ return 418; }}
  }}
}}
"""
_LOCATION = """
    location {path} {{
      {inside}
      proxy_pass {target};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      client_max_body_size 0;
      proxy_request_buffering off;
      proxy_buffering off;
    }}
"""


def nginx_binary() -> str:
    """Skips the test where there is none."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    return found


@contextmanager
def running_nginx(
    folder: Path, port: int, targets: dict[str, str], *, inside: str = "", tls: tuple[Path, Path] | None = None
) -> Iterator[None]:
    """nginx on a port of loopback.

    Args:
        folder: for its files.
        port: where it listens.
        targets: for each path, what `proxy_pass` says; with a slash at its end nginx takes the path away.
        inside: a line more for each location.
        tls: certificate and key of the server, which then speaks HTTPS.
    """
    locations = "".join(_LOCATION.format(path=path, target=target, inside=inside) for path, target in targets.items())
    secured = f" ssl; ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]}" if tls else ""
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, port=port, locations=locations, tls=secured))
    command = [nginx_binary(), "-e", "stderr", "-p", str(folder), "-c", str(config)]
    with running(command, log=folder / "nginx.log"):
        wait_until(lambda: accepts(port), timeout_s=20, what="nginx")
        yield
