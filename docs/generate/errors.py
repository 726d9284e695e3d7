"""Error codes: of items from core.errors, of requests from api.errors; and the exit codes of the command line."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from typing import TypeVar

from api.errors import INTERNAL, INVALID_PARAMETERS, KINDS
from cli.output.exit_codes import ExitCode
from core.errors import ItemErrorCode
from docs.generate.markdown import code, sentence, table

_Member = TypeVar("_Member", bound=Enum)
_MEMBER = re.compile(r"^    (?P<name>[A-Z_]+) = \S+(?:  # (?P<comment>.+))?$", re.MULTILINE)


def items_section() -> str:
    """Why one image has no probabilities."""
    rows = [(code(each), sentence(comment)) for each, comment in commented(ItemErrorCode).items()]
    return table(("code", "the item failed because"), rows)


def requests_section() -> str:
    """What a request can be answered with instead of a result."""
    kinds = {kind.code: kind for kind in (*KINDS.values(), INVALID_PARAMETERS, INTERNAL)}
    rows = [
        (code(kind.code), str(kind.status), sentence(kind.title), sentence(kind.meaning))
        for kind in sorted(kinds.values(), key=lambda kind: (kind.status, kind.code))
    ]
    return table(("code", "HTTP status", "title", "meaning"), rows)


def exits_section() -> str:
    """What `dermq` ends with."""
    rows = [(code(int(each)), sentence(comment)) for each, comment in commented(ExitCode).items()]
    return table(("code", "meaning"), rows)


def commented(enum: type[_Member]) -> dict[_Member, str]:
    """The members of an enum with the comment behind each, as the source has them.

    Raises:
        ValueError: a member has no comment.
    """
    comments = {found["name"]: found["comment"] for found in _MEMBER.finditer(inspect.getsource(enum))}
    missing = [member.name for member in enum if not comments.get(member.name)]
    if missing:
        raise ValueError(f"{enum.__name__}: expected a comment behind each member, and found none behind {missing}")
    return {member: comments[member.name] for member in enum}
