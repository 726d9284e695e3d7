"""`dermq models`: what the server can screen with; and versions added, looked at, and freed of a label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.wrap import wrap
from cli.helpstyle import PlainTyper
from cli.models.operator import ByOption, ModelArgument, ServingOption, TimeoutOption, VersionArgument
from cli.options import Common, DataDirOption, JsonOption, with_common_options

models = PlainTyper(
    invoke_without_command=True,
    help="List the models that are served; wrap, add, verify and unlabel versions.",
)


models.command("wrap")(wrap)


@models.callback()
@with_common_options
def list_models(context: typer.Context, *, common: Common) -> None:
    """List the models that are served: versions, states, labels, who put them there, metrics and classes."""
    if context.invoked_subcommand is not None:
        _hand_on(context, context.invoked_subcommand)
        return
    from cli.output.modeltable import print_models
    from cli.output.terminal import open_out, print_json
    from cli.service import connect

    with connect(common.target).client as client:
        found = [model for page in client.pages("/v1/models") for model in page]
    if common.json:
        print_json(found)
        return
    print_models(open_out(), found)


def _hand_on(context: typer.Context, verb: str) -> None:
    """Options that stand before the verb count as if they stood behind it.

    Raises:
        typer.BadParameter: the verb does not take one.
    """
    given = {name: value for name, value in context.params.items() if _is_given(context, name)}
    taken = {parameter.name for parameter in context.command.commands[verb].params}  # type: ignore[attr-defined]
    for name in given.keys() - taken:
        raise typer.BadParameter(
            f"`dermq models {verb}` does not take it", ctx=context, param_hint=f"--{name.replace('_', '-')}"
        )
    context.default_map = {verb: given}


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@models.command("verify")
def verify(
    name: ModelArgument,
    version: VersionArgument,
    *,
    record: Annotated[bool, typer.Option("--record", help="Record the golden batch anew, from what it answers now.")] = False,
    by: ByOption = None,
    json: JsonOption = False,
    serving: ServingOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Look at a version: files, signatures, spec, and whether it answers its golden batch as recorded.

    Asks the model server if it has the version, else a private one that is started for it.
    """
    from cli.models.verification import verify_version
    from cli.output.terminal import open_out, print_json

    report = verify_version(name, version, record=record, by=by, serving=serving, data_dir=data_dir)
    if json:
        print_json(report)
        return
    golden = report["golden"]
    answer = f"golden batch of {golden['images']} as recorded (largest difference {golden['largest_difference']:.2g})"
    without = f"no golden batch yet: record one with `dermq models verify {name} {version} --record`"
    open_out().print(f"{name} version {version} is sound; {answer if golden['images'] else without}.", soft_wrap=True)


@models.command("add")
def add(
    name: ModelArgument,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of an exported SavedModel.")],
    *,
    by: ByOption = None,
    json: JsonOption = False,
    data_dir: DataDirOption = None,
) -> None:
    """Copy an exported SavedModel in as the model's next version. It is loaded and proved first, and served once promoted."""
    from cli.models.verification import add_version
    from cli.output.terminal import open_out, print_json

    added = add_version(name, path, by=by, data_dir=data_dir)
    if json:
        print_json(added)
        return
    number = added["version"]
    commands = ", then ".join(added["next"])
    open_out().print(f"{name} version {number} is published. To serve it: {commands}", soft_wrap=True)


@models.command("unlabel")
def unlabel(
    name: ModelArgument,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="The label; not stable.")],
    *,
    timeout: TimeoutOption = 120.0,
    by: ByOption = None,
    json: JsonOption = False,
    serving: ServingOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Take a label away, to end a canary; its version stays loaded."""
    from cli.models.operator import open_rollout
    from cli.models.rollout_result import show_moved
    from cli.output.spinner import StackStatus

    with StackStatus() as status, open_rollout(data_dir, serving, by, timeout, status.progress) as rollout:
        moved = rollout.unlabel(name, label)
    show_moved(moved, as_json=json)
