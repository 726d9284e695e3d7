"""Markdown that GitHub and MyST read alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a pipe in a cell is escaped, a line break becomes a space."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(_cell, cells)) + " |" for cells in lines)


def code(text: object) -> str:
    """Inline code; nothing for an empty text."""
    return f"`{text}`" if str(text) else ""


def codes(texts: Iterable[object]) -> str:
    """Inline codes, separated by commas."""
    return ", ".join(map(code, texts))


def sentence(text: str) -> str:
    """One line with a full stop, capitalised where it begins with a plain word; <name> is shown and not taken for HTML."""
    text = _outside_code(" ".join(text.split()))
    first = text.partition(" ")[0]
    text = text[:1].upper() + text[1:] if first.rstrip(",;:").isalpha() else text
    return text + ("" if not text or text[-1] in ".?!:…" else ".")


def _outside_code(text: str) -> str:
    pieces = text.split("`")
    return "`".join(
        re.sub(r"(<[^<>\s]+>)", r"\\\1", piece) if number % 2 == 0 else piece for number, piece in enumerate(pieces)
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
