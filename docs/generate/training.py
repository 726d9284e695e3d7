"""Options of the verbs whose arguments training modules read: argparse has them."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Any
from unittest import mock

from cli.commands.training import MODULES
from docs.generate.markdown import code, codes, sentence, table

VERBS = tuple(MODULES)


class _BuiltError(Exception):
    """Carries the parser of a module out of its `main`."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def options_of(verb: str) -> str:
    """Tables of the arguments and options of one verb."""
    actions = [each for each in _parser(verb)._actions if not isinstance(each, argparse._HelpAction)]
    arguments = [(code(each.metavar or each.dest.upper()), _about(each)) for each in actions if not each.option_strings]
    options = [(_spelt(each), _about(each)) for each in actions if each.option_strings]
    parts = [table((kind, "what"), rows) for kind, rows in (("argument", arguments), ("option", options)) if rows]
    return "\n\n".join(parts)


def arguments_of(verb: str) -> str:
    """What stands behind the options in the verb's usage line: [NAME] where it may be left out."""
    actions = [each for each in _parser(verb)._actions if not each.option_strings]
    return " ".join(f"[{each.dest.upper()}]" if each.nargs == "?" else each.dest.upper() for each in actions)


def _parser(verb: str) -> argparse.ArgumentParser:
    """The parser that the module builds: it is caught when it is about to read a command line."""

    def built(self: argparse.ArgumentParser, *_: Any) -> None:
        raise _BuiltError(self)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", built):
        try:
            import_module(MODULES[verb]).main([], prog=f"dermq {verb}")
        except _BuiltError as found:
            return found.parser
    raise RuntimeError(f"{MODULES[verb]}.main: expected it to build a parser, and it did not")


def _spelt(action: argparse.Action) -> str:
    value = "" if action.nargs == 0 else " " + ("|".join(map(str, action.choices or ())) or action.dest.upper())
    return codes([*action.option_strings[:-1], action.option_strings[-1] + value])


def _about(action: argparse.Action) -> str:
    default = "" if action.default in (None, False) else f" Default: {code(action.default)}."
    needed = " Must be given." if action.option_strings and action.required else ""
    return sentence(action.help or "") + default + needed
