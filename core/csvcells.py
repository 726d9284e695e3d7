"""Cells of the CSV files that DermQ writes: what makes them safe for spreadsheets, and different where their texts are.

- Control characters, and the Unicode line ends that some readers take for one, are shown as `\\xNN` for each of their bytes.
- A text that begins with = + - @ gets a leading apostrophe, so that no spreadsheet takes it for a formula (OWASP, CSV
  Injection). So does one that has apostrophes before such a character: taking one away gives the text back.
- Quotes (RFC 4180) stand around whatever has a comma, a semicolon, a tab, a quote or a line end: spreadsheets of many countries
  separate by `;`.

The patterns are in the common language of `re` and RE2, which Arrow uses.
"""

from __future__ import annotations

import re

CONTROL = "[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"
FORMULA = r"^'*[=+\-@]"
NEEDS_QUOTES = "[\",;\\t\\r\\n]|^'*[=+\\-@]"

_CONTROL = re.compile(CONTROL)
_FORMULA = re.compile(FORMULA)
_NEEDS_QUOTES = re.compile(NEEDS_QUOTES)


def escape_controls(text: str) -> str:
    """Control characters as `\\xNN`."""
    return _CONTROL.sub(lambda found: "".join(f"\\x{byte:02x}" for byte in found[0].encode()), text)


def csv_cell(text: str) -> str:
    """A text as a cell, quoted where that is needed."""
    text = escape_controls(text)
    if _FORMULA.match(text):
        text = f"'{text}"
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def csv_line(values: list[str | int | float | bool | None]) -> str:
    """A line: numbers as they are, true and false, nothing for None."""
    return ",".join(_value(each) for each in values) + "\n"


def _value(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return csv_cell(value) if isinstance(value, str) else str(value)
