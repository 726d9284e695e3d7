"""`dermq models wrap`: a model of another team made into a version that DermQ can serve."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import JsonOption
from cli.output.exit_codes import CliError, ExitCode
from core.wraprequest import Layout, Output, Resize, Scale, WrapRequest

if TYPE_CHECKING:
    from training.wrapping.wrap import Wrapped

_MODEL, _INPUT, _OUTPUT = "The model", "Its input", "Its output"
_SIZE = re.compile(r"(\d{1,5})[xX×](\d{1,5})")
_SAMPLES = 7  # one drawn picture for each class of the packaged sample


def wrap(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A SavedModel's folder, a .keras or an .onnx file.")],
    *,
    name: Annotated[str, typer.Option("--name", metavar="N", help="The name to serve it under.", rich_help_panel=_MODEL)],
    classes: Annotated[
        str,
        typer.Option(
            "--classes",
            metavar="A,B,…|@FILE",
            help="Its classes in the order of its output, or a text file with one on each line.",
            rich_help_panel=_MODEL,
        ),
    ],
    malignant: Annotated[
        str | None,
        typer.Option(
            "--malignant", metavar="A,…", help="The classes that count towards the risk. Default: none.", rich_help_panel=_MODEL
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            metavar="[POINT=]R",
            help="Risk from which an image is flagged; repeat it for more operating points, the first sets the flag.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    licence: Annotated[str, typer.Option("--licence", metavar="TEXT", help="For the card.", rich_help_panel=_MODEL)] = "",
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="HxW", help="Pixels, where its signature leaves them open.", rich_help_panel=_INPUT),
    ] = None,
    scale: Annotated[
        Scale | None,
        typer.Option("--scale", help="What it is fed with, made of bytes from 0 to 255.", rich_help_panel=_INPUT),
    ] = None,
    layout: Annotated[
        Layout | None,
        typer.Option("--layout", help="Where the colours stand, where its signature leaves it open.", rich_help_panel=_INPUT),
    ] = None,
    resize: Annotated[
        str,
        typer.Option(
            "--resize", metavar="stretch|crop|pad", help="How an image is brought to the size.", rich_help_panel=_INPUT
        ),
    ] = "stretch",
    output: Annotated[
        Output | None,
        typer.Option("--output", help="What it answers, where its answers could be either.", rich_help_panel=_OUTPUT),
    ] = None,
    multi_label: Annotated[
        bool,
        typer.Option("--multi-label", help="Several classes may be true of one image, or none.", rich_help_panel=_OUTPUT),
    ] = False,
    signature: Annotated[
        str | None,
        typer.Option("--signature", metavar="S", help="Of a SavedModel that has several.", rich_help_panel=_OUTPUT),
    ] = None,
    output_name: Annotated[
        str | None,
        typer.Option("--output-name", metavar="S", help="Of a model that has several outputs.", rich_help_panel=_OUTPUT),
    ] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option("--sample", metavar="FILE", help="An image to prove it on; repeat it. Default: drawn pictures."),
    ] = None,
    root: Annotated[Path, typer.Option("--root", metavar="DIR", help="Where to write NAME/VERSION.")] = Path("exports"),
    json: JsonOption = False,
) -> None:
    """Make a version of another team's model: a SavedModel, a .keras or an ONNX file.

    Input and output are read from its signature; what cannot be known is asked for, by the option's name. It is proved on
    sample images, and written with all that DermQ's own exports have. No code of the file is run.
    """
    from cli.output.spinner import StackStatus

    request = WrapRequest(
        name=name,
        classes=_read_classes(classes),
        malignant=_split(malignant or ""),
        thresholds=_read_thresholds(threshold or []),
        size=_read_size(size),
        scale=scale,
        layout=layout,
        output=output,
        multi_label=multi_label,
        resize=_read_resize(resize),
        signature=signature,
        output_name=output_name,
        licence=licence,
    )
    with StackStatus() as status:
        wrapped = _load_wrapper(path).wrap_model(path, request, _read_samples(sample), root=root, tell=status.progress)
    _show(wrapped, as_json=json)


def _load_wrapper(path: Path) -> Any:
    try:
        import_module("tensorflow")
        if path.suffix.lower() == ".onnx":
            import_module("onnx")
        return import_module("training.wrapping.wrap")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("core", "serving", "training"):
            raise  # a fault of ours, not a missing package
        raise CliError(
            f"dermq models wrap needs the package {error.name!r}, which is not installed here.",
            ExitCode.USAGE,
            "Install what runs models: in a checkout `make setup`, else `uv tool install 'dermq[up]'`.",
        ) from error


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _read_classes(given: str) -> tuple[str, ...]:
    if not given.startswith("@"):
        return _split(given)
    try:
        lines = Path(given[1:]).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"--classes: expected a text file at {given[1:]}: {error}", ExitCode.USAGE) from error
    return tuple(line.strip() for line in lines if line.strip())


def _read_size(given: str | None) -> tuple[int, int] | None:
    if given is None:
        return None
    match = _SIZE.fullmatch(given)
    if match is None or not all(map(int, match.groups())):
        raise CliError(f"--size: expected HEIGHTxWIDTH in pixels, 224x224 for instance, got {given!r}", ExitCode.USAGE)
    return int(match[1]), int(match[2])


def _read_resize(given: str) -> Resize:
    for known in ("stretch", "crop", "pad"):
        if given == known:
            return known
    raise CliError(f"--resize: expected stretch, crop or pad, got {given!r}", ExitCode.USAGE)


def _read_thresholds(given: list[str]) -> dict[str, float]:
    found = {}
    for each in given:
        point, _, value = each.rpartition("=")
        try:
            found[point or "stated"] = float(value)
        except ValueError as error:
            raise CliError(f"--threshold: expected a risk from 0 to 1, or NAME=RISK, got {each!r}", ExitCode.USAGE) from error
    return found


def _read_samples(given: list[Path] | None) -> list[tuple[str, bytes]]:
    if given:
        try:
            return [(path.name, path.read_bytes()) for path in given]
        except OSError as error:
            raise CliError(f"--sample: expected image files: {error}", ExitCode.USAGE) from error
    from cli.sample import draw_samples

    return draw_samples(_SAMPLES)


def _show(wrapped: Wrapped, *, as_json: bool) -> None:
    from cli.output.summary import make_table
    from cli.output.terminal import open_err, open_out, print_json

    next_command = f"dermq models add {wrapped.spec.name} {wrapped.path}"
    if as_json:
        print_json(_report(wrapped) | {"next": next_command})
        return
    feeding, console = wrapped.feeding, open_out()
    console.print(
        f"{wrapped.kind}: fed with {feeding.height}x{feeding.width} pixels, scale {feeding.scale}, {feeding.layout}; it "
        f"answers {wrapped.output}. Images are brought to that size by --resize {wrapped.spec.resize}.",
        soft_wrap=True,
    )
    table = make_table("Sample image", "Most probable", "Second", "Third")
    for shown in wrapped.shown:
        table.add_row(shown.name, *(f"{label} {value:.3f}" for label, value in shown.top))
    console.print(table)
    console.print(wrapped.unexplained or "It can show which places of an image speak for a class.", soft_wrap=True)
    for doubt in wrapped.doubts:
        open_err().print(doubt, style="yellow", soft_wrap=True)
    console.print(f"Wrapped: {wrapped.path}. Look at the table: is that what the model should say? To add it:", soft_wrap=True)
    console.print(f"  {next_command}", soft_wrap=True)


def _report(wrapped: Wrapped) -> dict[str, Any]:
    return {
        "model": wrapped.spec.name,
        "path": str(wrapped.path),
        "kind": wrapped.kind,
        "output": str(wrapped.output),
        "spec": wrapped.spec.model_dump(mode="json"),
        "samples": [
            {"name": shown.name, "top": [{"label": label, "probability": value} for label, value in shown.top]}
            for shown in wrapped.shown
        ],
        "doubts": list(wrapped.doubts),
        "unexplained": wrapped.unexplained or None,
    }
