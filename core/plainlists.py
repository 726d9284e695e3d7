"""Lists in settings, as people write them: `/data`, `/data,/mnt`, or JSON where an item has a comma; and checks of their items.

All raise ValueError, from which pydantic makes an error that names the setting.
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlsplit

_HOST = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*")
BUCKET_SCHEMES = ("s3", "gs", "az")  # Amazon S3 and its like, Google Cloud Storage, Azure
_ON, _OFF = ("true", "1", "yes", "on"), ("false", "0", "no", "off")


def split_list(value: Any) -> Any:
    """Text as a list: a JSON list, or items between commas; blanks around an item and empty items do not count.

    Raises:
        ValueError: it begins like a JSON list and is none.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not text.startswith("["):
        return tuple(item for part in text.split(",") if (item := part.strip()))
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f'expected items between commas or a JSON list, ["a", "b"], got {value!r}: {error}') from error
    return tuple(found)


def read_switch(value: Any, *, on: str) -> Any:
    """A list setting that may also be `true` (the list of `on` alone) or `false` (the empty list)."""
    word = str(value).strip().lower() if isinstance(value, (str, bool)) else ""
    return (on,) if word in _ON else () if word in _OFF else value


def check_bucket_prefix(value: str) -> str:
    """An address s3://, gs:// or az:// with a slash at its end: s3://a/b does not stand for s3://a/bc. s3:// is all buckets.

    Raises:
        ValueError: it is none, or a segment of it is `.` or `..`.
    """
    scheme, separator, rest = value.partition("://")
    if scheme not in BUCKET_SCHEMES or not separator or {".", ".."} & set(value.split("/")):
        raise ValueError(f"expected s3://bucket/prefix (or gs://, az://), got {value!r}")
    bare = rest.strip("/")
    return f"{scheme}://{bare}/" if bare else f"{scheme}://"


def check_https_prefix(value: str) -> str:
    """`TENANT=https://host/prefix/`, the host in lower case, with a slash at its end; `*` is every tenant.

    Raises:
        ValueError: it is none, or a segment of it is `.` or `..`.
    """
    tenant, _, url = value.partition("=")
    parts = urlsplit(url)
    if not tenant or parts.scheme != "https" or not parts.hostname or {".", ".."} & set(url.split("/")):
        raise ValueError(f"expected TENANT=https://host/prefix, with * for every tenant, got {value!r}")
    return f"{tenant}={parts._replace(netloc=parts.netloc.lower()).geturl().rstrip('/')}/"


def check_host(value: str) -> str:
    """A host name in lower case, without a dot at its end; `*.` before it stands for all names below it.

    Raises:
        ValueError: it is none: an address with scheme, port or path, or `*` alone.
    """
    name = value.lower().rstrip(".")
    if not _HOST.fullmatch(name):
        raise ValueError(f"expected a host name such as dermq.example or *.dermq.svc, without scheme and port, got {value!r}")
    return name


def check_file_url(value: str) -> str:
    """An address; if it is a file:// one, without query and fragment: they would silently be no part of the folder's name.

    Raises:
        ValueError: it has `?` or `#`.
    """
    if value.startswith("file:") and any(mark in value for mark in "?#"):
        raise ValueError("expected ? as %3F and # as %23 in the path of a file:// address")
    return value


def check_grpc_address(value: str) -> str:
    """A gRPC address: host:port, dns:///host:port, unix:path.

    Raises:
        ValueError: it is a URL of the web, which gRPC would take for a name to look up.
    """
    scheme = value.partition("://")[0].lower()
    if scheme in {"http", "https", "grpc", "grpcs", "tcp"} and "://" in value:
        secure = ", and set DERMQ_SERVING_TLS=true" if scheme in {"https", "grpcs"} else ""
        raise ValueError(
            f"expected host:port, or dns:///host:port for several replicas, got {value!r}: "
            f"leave {scheme}:// and the path out{secure}"
        )
    return value


def check_start(value: str, *starts: str) -> str:
    """An address of one of these kinds, or "". The address is not shown: it may hold a password.

    Raises:
        ValueError: it is of another kind.
    """
    if value and not value.startswith(starts):
        scheme = value.partition("://")[0] + "://" if "://" in value else "no scheme"
        raise ValueError(f"expected an address that begins with {' or '.join(starts)}, got one with {scheme}")
    return value
