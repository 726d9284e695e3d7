"""`dermq demo`: the whole of DermQ on pictures that it draws itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DataDirOption, JsonOption

IMAGES = 42


def demo(
    *,
    once: Annotated[bool, typer.Option("--once", help="End after the summary instead of leaving the API up.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write the results.")] = Path("results.csv"),
    images: Annotated[
        int, typer.Option("--images", metavar="N", min=1, max=100_000, help="How many pictures to draw, the classes in turn.")
    ] = IMAGES,
    truth: Annotated[
        bool,
        typer.Option("--truth", help="With a table of the true classes and patients, copies and bad pictures to be found."),
    ] = False,
    browse: Annotated[
        bool | None,
        typer.Option("--open/--no-open", help="Open the job's page in a browser; by default where there is a screen."),
    ] = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Draw a sample archive, screen it, show the summary, and leave the API up until Ctrl-C.

    The pictures are drawn, not photographed: what the model says of them means nothing. Three members are broken on purpose.
    """
    from cli.commands.screen import run_job, save_results, show_end
    from cli.http.client import JobRequest
    from cli.http.jobview import exit_code
    from cli.http.submission import read_source
    from cli.output.outfile import choose_out, refuse_two_on_stdout
    from cli.output.terminal import open_err, open_out, print_json
    from cli.service import Target, open_service
    from cli.stack.folder import DataFolder
    from cli.stack.stack import StackOptions

    target_file = choose_out(out, None)
    refuse_two_on_stdout(target_file, json=json)
    folder = DataFolder.at(data_dir)
    folder.create()
    with folder.faults_named("written"):
        drawn = _draw(folder.root / "demo", images, truth=truth)
    source = read_source(str(drawn))
    with open_service(Target(None, None, data_dir), StackOptions(sources=source.needed)) as service:
        job = run_job(service, source, JobRequest())
        wrote = save_results(service, job, target_file)
        console = open_err() if json or target_file.is_stdout else open_out()
        if json:
            print_json(job.raw)
        show_end(service, job, console=console, wrote=wrote)
        if not once and service.is_own:
            page = f"{service.client.url}/jobs/{job.id}"
            console.print(f"\nThe job's page: {page}\nStop DermQ with Ctrl-C.", soft_wrap=True)
            if has_screen() if browse is None else browse:
                open_page(page)
            _wait_for_ctrl_c()
    raise typer.Exit(exit_code(job))


def open_page(page: str) -> None:
    """Open an address in the browser of whoever sits here."""
    import webbrowser

    webbrowser.open(page)


def has_screen() -> bool:
    """Whether somebody sits in front of this machine: a terminal, and a graphical session where there can be none."""
    return sys.stdout.isatty() and (
        sys.platform in ("darwin", "win32") or bool(os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY"})
    )


def _draw(folder: Path, images: int, *, truth: bool) -> Path:
    from cli.output.terminal import open_err
    from cli.sample import write_sample_archive
    from cli.sampletable import write_sample_table

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("lesions.csv" if truth else "sample.zip")
    open_err().print(f"drawing {images} sample pictures into {path}", style="dim", soft_wrap=True)
    if truth:
        return write_sample_table(folder, images=images, seed=0)
    write_sample_archive(path, images=images, seed=0)
    return path


def _wait_for_ctrl_c() -> None:
    import signal

    try:
        signal.pause()
    except KeyboardInterrupt:
        return
