"""Forms of pages: small, as browsers send them without a script."""

from __future__ import annotations

from urllib.parse import parse_qs

from fastapi import Request

from api.intake.requests import read_small

_FORM_BYTES = 8192


async def read_form(request: Request) -> dict[str, str]:
    """Fields that are not empty, without blanks around them; several values of one name are joined by a space.

    Raises:
        TooLargeError: it is no small form.
    """
    body = await read_small(request, _FORM_BYTES, "form")
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: joined for name, values in fields.items() if (joined := " ".join(each.strip() for each in values))}
