"""Error codes: of items from core.errors, of requests from api.errors; and the exit codes of the command line."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from typing import TypeVar

from api.errors import JOB_KINDS, list_kinds
from cli.output.exit_codes import ExitCode
from core.errors import ErrorCode, Fault, ItemErrorCode, JobErrorCode
from docs.generate.markdown import code, sentence, table

_Member = TypeVar("_Member", bound=Enum)
_MEMBER = re.compile(r"^    (?P<name>[A-Z_]+) = \S+(?:  # (?P<comment>.+))?$", re.MULTILINE)


def items_section() -> str:
    """Why one image has no probabilities."""
    rows = [(code(each), each.sentence, _whose(each), _again(each)) for each in ItemErrorCode]
    return table(("code", "the item failed because", "whose fault", "worth a retry"), rows)


def jobs_section() -> str:
    """Why nothing, or nothing more, of a job is classified."""
    rows = [(code(each), each.sentence, _whose(each), _again(each), str(JOB_KINDS[each].status)) for each in JobErrorCode]
    return table(("code", "the job failed because", "whose fault", "worth a retry", "HTTP status"), rows)


def requests_section() -> str:
    """What a request can be answered with instead of a result."""
    rows = [
        (code(kind.code), str(kind.status), sentence(kind.title), sentence(kind.meaning))
        for kind in sorted(list_kinds(), key=lambda kind: (kind.status, kind.code))
        if kind not in JOB_KINDS.values()
    ]
    return table(("code", "HTTP status", "title", "meaning"), rows)


def exits_section() -> str:
    """What `dermq` ends with."""
    rows = [(code(int(each)), sentence(comment)) for each, comment in commented(ExitCode).items()]
    return table(("code", "meaning"), rows)


def _whose(each: ErrorCode) -> str:
    return {
        Fault.CALLER: "the request's",
        Fault.ARCHIVE: "the archive's",
        Fault.MODEL: "the model's",
        Fault.OPERATOR: "the operator's",
        Fault.SERVICE: "the service's",
    }[each.fault]


def _again(each: ErrorCode) -> str:
    return "yes" if each.retryable else "no"


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
