"""The command line, from Typer: every command with its usage, help, arguments and options; and the exit codes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from cli.helpstyle import value_name
from cli.main import app
from docs.generate.markdown import code, codes, sentence, table
from docs.generate.training import VERBS, arguments_of, options_of

Command = TyperCommand | TyperGroup
_MARKUP = re.compile(r"\[/?[a-z ]+\]")  # Rich's, in help texts


def commands_section() -> str:
    """A section for each command, in the order of `dermq --help`."""
    root, context = _root()
    return "\n\n".join(_section(command, within) for command, within in _commands(root, context))


def overview_section() -> str:
    """One line for each command."""
    root, context = _root()
    rows = [
        (f"[`{within.command_path}`](#{_anchor(within.command_path)})", _first_sentence(command))
        for command, within in _commands(root, context)
    ]
    return table(("command", "what it does"), rows)


def _root() -> tuple[TyperGroup, typer.Context]:
    root = typer.main.get_group(app)
    return root, typer.Context(root, info_name="dermq")


def _commands(group: Command, context: typer.Context) -> Iterator[tuple[Command, typer.Context]]:
    for name, command in group.commands.items() if isinstance(group, TyperGroup) else ():
        if not isinstance(command, (TyperCommand, TyperGroup)) or command.hidden:
            continue
        within = typer.Context(command, info_name=name, parent=context)
        if not isinstance(command, TyperGroup) or command.invoke_without_command:
            yield command, within
        yield from _commands(command, within)


def _section(command: Command, context: typer.Context) -> str:
    name = context.command_path
    verb = name.removeprefix("dermq ")
    parts = [f"### {name}", f"```text\n{name} {_usage(command, verb)}\n```", _help(command)]
    arguments = [each for each in command.params if isinstance(each, TyperArgument)]
    options = [each for each in command.params if isinstance(each, TyperOption) and not each.hidden]
    if arguments:
        parts.append(table(("argument", "what"), [(code(value_name(each)), _about(each)) for each in arguments]))
    if options:
        parts.append(table(("option", "what"), map(_option, options)))
    if verb in VERBS:
        parts.append(options_of(verb))
    return "\n\n".join(filter(None, parts))


def _usage(command: Command, verb: str) -> str:
    arguments = [each for each in command.params if isinstance(each, TyperArgument)]
    named = [value_name(each) + ("…" if each.nargs != 1 else "") for each in arguments]
    pieces = [name if each.required else f"[{name}]" for name, each in zip(named, arguments, strict=True)]
    forwarded = [arguments_of(verb)] if verb in VERBS else []
    return " ".join(["[OPTIONS]", *pieces, *forwarded])


def _help(command: Command) -> str:
    paragraphs = re.split(r"\n\s*\n", _plain(command.help or ""))
    return "\n\n".join(sentence(each) for each in paragraphs if each.strip())


def _first_sentence(command: Command) -> str:
    text = " ".join(_plain(command.help or "").split("\n\n")[0].split())
    return sentence(re.split(r"(?<=[.])\s", text)[0])


def _option(option: TyperOption) -> tuple[str, str]:
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {value_name(option)}"
    spelt = codes([*names[:-1], names[-1] + value])
    return spelt, _about(option) + _default(option)


def _default(option: TyperOption) -> str:
    value = option.default
    if value is None or callable(value) or value in (False, True, (), "") or str(value).startswith("Sentinel"):
        return ""
    shown = f"{value:g}" if isinstance(value, float) else getattr(value, "value", value)
    return f" Default: {code(shown)}."


def _about(parameter: TyperArgument | TyperOption) -> str:
    text = sentence(_plain(getattr(parameter, "help", None) or ""))
    variables = [parameter.envvar] if isinstance(parameter.envvar, str) else [*(parameter.envvar or ())]
    return f"{text} Variable: {codes(variables)}." if variables else text


def _plain(text: str) -> str:
    return _MARKUP.sub("", text)


def _anchor(heading: str) -> str:
    return heading.lower().replace(" ", "-")
