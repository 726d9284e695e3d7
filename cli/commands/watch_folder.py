"""`dermq watch-folder`: screen what is put into a folder, each file once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Common, LabelOption, ModelOption, VersionOption, with_common_options


@with_common_options
def watch_folder(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="The folder. Files in folders below it count, too.", exists=True, file_okay=False),
    ],
    *,
    model: ModelOption = None,
    label: LabelOption = None,
    version: VersionOption = None,
    settle: Annotated[
        float, typer.Option("--settle", metavar="S", min=0.1, help="Seconds without a change after which a file is complete.")
    ] = 5.0,
    once: Annotated[bool, typer.Option("--once", help="Submit what is there and settled, then end.")] = False,
    common: Common,
) -> None:
    """Submit each file that is put into a folder, once it has settled. Ends with Ctrl-C.

    One file is one job: an archive, an image or a table. DIR/.dermq-watched remembers what was submitted, so that nothing is
    submitted twice, also after a restart; a file that changes is submitted again. Prints each job's id.
    """
    from cli.http.client import JobRequest
    from cli.http.submission import check_choice
    from cli.service import connect
    from cli.watching.folder import WatchedFolder, watch

    check_choice(label, version)
    service = connect(common.target)
    watched = WatchedFolder(folder, settle_s=settle)
    with service.client:
        watch(watched, service, JobRequest(model, label, version), once=once, as_json=common.json)
