"""Hands images to a server: by their place where it can read them itself, else by sending them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.http.jobview import JobView
from cli.output.exit_codes import CliError, ExitCode
from core.plaintext import is_utf8
from dermq.options import is_address

if TYPE_CHECKING:
    from cli.http.client import JobRequest
    from cli.output.progress import ProgressView
    from cli.service import Service
    from cli.stack.environment import Sources

_TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".txt")


@dataclass(frozen=True, slots=True)
class Source:
    """Images to screen: an address such as s3://…, a path of this machine, or several."""

    text: str
    several: tuple[Path, ...] = ()  # `text` is then for people
    is_sent: bool = False  # even if the server could read the path: it is not there for long

    @property
    def path(self) -> Path | None:
        """The local path, None for an address and for several."""
        return None if self.several or is_address(self.text) else Path(self.text)

    @property
    def needed(self) -> Sources:
        """What a stack of one's own must be allowed to read for this."""
        from cli.stack.environment import Sources
        from core.plainlists import check_bucket_prefix, check_https_prefix

        if self.several or self.is_sent:
            return Sources()
        if self.path is not None:
            return Sources(roots=(self.path.resolve() if self.path.is_dir() else self.path.resolve().parent,))
        try:
            if self._scheme == "https":
                return Sources(https=(check_https_prefix(f"*={self.text.partition('?')[0]}"),))
            return Sources(s3=tuple(check_bucket_prefix(each) for each in (self.text, *self._beside_table())))
        except ValueError:  # the server says what is wrong with it
            return Sources()

    @property
    def _scheme(self) -> str:
        return self.text.partition("://")[0].lower()

    def _beside_table(self) -> tuple[str, ...]:
        """Where the images of a table lie, if it is one by its name."""
        scheme, _, rest = self.text.partition("://")
        bucket, _, key = rest.partition("/")
        return (f"{scheme}://{bucket}/{key.rpartition('/')[0]}",) if key.lower().endswith(_TABLE_SUFFIXES) else ()


def read_source(text: str) -> Source:
    """Check what the user named before anything is started for it.

    Raises:
        CliError: nothing readable is there, or it is an address of another kind.
    """
    source = Source(text)
    if "://" in text and source.path is not None and not source.path.exists():
        raise CliError(
            f"cannot screen {text}: expected a path or an address such as s3://bucket/prefix or https://host/a.zip",
            ExitCode.USAGE,
            "Fetch it first, for example with curl, and name the file.",
        )
    if source.path is not None:
        _require_readable(source.path)
    return source


def check_choice(label: str | None, version: int | None) -> None:
    """A version is chosen by label or by number, not by both."""
    if label is not None and version is not None:
        raise CliError(f"got --label {label} and --version {version}", ExitCode.USAGE, "Give one of the two.")


def submit_source(
    service: Service, source: Source, request: JobRequest, view: ProgressView | None = None, *, once: bool = False
) -> JobView:
    """Submit and return the job as the server took it up; with `once`, the job of an earlier submission of the same."""
    from cli.http.contentkey import content_key
    from cli.http.requestbody import read_payload

    if source.path is None and not source.several:
        return JobView(service.client.submit_source(source.text, request))
    if source.path is not None and _is_read(service, source):
        place = str(source.path.resolve())
        key = content_key((source.path,), request, sent=False) if once else None
        named = replace(request, name=request.name or source.path.resolve().name)
        return JobView(service.client.submit_source(place, named, key=key))
    paths = source.several or (Path(source.text),)
    payload = read_payload(*paths)
    key = content_key(paths, request, sent=True) if once else None

    def show(sent: int) -> None:
        if view is not None:
            view.show_upload(sent, payload.size)

    return JobView(service.client.submit(payload, request, key=key, on_sent=show))


def _is_read(service: Service, source: Source) -> bool:
    """Whether the server reads the path where it lies; a name that is no UTF-8 cannot be said in JSON."""
    path = Path(source.text)
    return not source.is_sent and service.reads(path) and is_utf8(str(path.resolve()))


def _require_readable(path: Path) -> None:
    if not path.exists():
        raise CliError(f"{path} does not exist", ExitCode.USAGE, "Name a folder, an archive, an image or an address.")
    if not os.access(path, os.R_OK):
        raise CliError(f"{path} cannot be read", ExitCode.USAGE, "Check its permissions.")
    if path.is_dir() and not any(path.iterdir()):
        raise CliError(f"the folder {path} is empty", ExitCode.USAGE, "Name a folder that holds images.")
