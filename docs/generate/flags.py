"""The flags of TensorFlow Serving's model server, and what becomes of each in the embedded one."""

from __future__ import annotations

from docs.generate.markdown import code, table
from serving.embedded.flags import OFFICIAL, OWN, Flag


def flags_section() -> str:
    """All of TensorFlow Serving's in its order, then this server's own."""
    return table(("flag", "here", "what it does, or why it does not"), [_row(flag) for flag in (*OFFICIAL, *OWN)])


def _row(flag: Flag) -> tuple[str, str, str]:
    return code(f"--{flag.name}"), flag.fate.value, flag.text.replace("|", "\\|")
