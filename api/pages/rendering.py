"""From a template to an answer. What is printed is escaped, and what a template misspells is an error."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from api.access.sessions import IS_ADMIN, SIGNED_IN
from api.schemas import DISCLAIMER
from api.subpath import with_subpath
from core.errors import ItemErrorCode, JobErrorCode
from core.formats import format_bytes, format_count, format_duration, format_rate, format_share
from core.notes import ItemNote

TEMPLATES = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Vary": "Accept"}


def render(template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page or a fragment.

    Args:
        template: file name in templates/.
        status: HTTP status.
        context: what the template names; a name that is missing is an error.
    """
    return HTMLResponse(render_text(template, **context), status, _HEADERS)


def render_text(template: str, **context: Any) -> str:
    """The text of a page or a fragment."""
    return with_subpath(_environment().get_template(template).render(context))


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals |= {"disclaimer": DISCLAIMER, "signed_in": SIGNED_IN.get, "is_admin": IS_ADMIN.get}
    environment.filters |= {
        "number": show_number,
        "instant": show_instant,
        "share": format_share,
        "duration": format_duration,
        "rate": format_rate,
        "bytes": format_bytes,
        "percent": show_percent,
        "code_sentence": explain_code,
        "note_sentence": explain_note,
        "words": lambda code: code.replace("_", " "),
    }
    return environment


def show_number(value: int) -> Markup:
    """A whole number, which a module shows as the browser's locale has it."""
    return Markup('<data class="number" value="{}">{}</data>').format(value, format_count(value))


def show_instant(value: datetime) -> Markup:
    """A time in UTC, which a module shows in the browser's time zone and locale."""
    return Markup('<time datetime="{}">{} UTC</time>').format(
        value.isoformat().replace("+00:00", "Z"), value.strftime("%Y-%m-%d %H:%M:%S")
    )


def show_percent(value: float) -> str:
    """0.1234 → '12.3 %'."""
    return f"{100 * value:.1f} %"


def explain_code(code: str) -> str:
    """The sentence of an item's or job's error code; nothing for a code of another release."""
    for codes in (ItemErrorCode, JobErrorCode):
        if code in set(codes):
            return codes(code).sentence
    return ""


def explain_note(code: str) -> str:
    """The sentence of an item's note; nothing for a note of another release."""
    return ItemNote(code).sentence if code in set(ItemNote) else ""
