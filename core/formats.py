"""Numbers, durations and sizes as a person reads them."""

from __future__ import annotations

from datetime import datetime


def format_count(value: int) -> str:
    """12345 → '12,345'."""
    return f"{value:,}"


def format_share(part: int, whole: int) -> str:
    """One decimal of a percentage; '–' where there is nothing to divide by."""
    return f"{100 * part / whole:.1f} %" if whole else "–"


def format_rate(images_per_s: float | None) -> str:
    """'123 images/s', with a decimal below ten; '–' while unknown."""
    if images_per_s is None:
        return "–"
    digits = 1 if images_per_s < 10 else 0
    return f"{images_per_s:,.{digits}f} images/s"


def format_duration(seconds: float | None) -> str:
    """0.4 s, 12 s, 3 min 05 s, 2 h 07 min; '–' while unknown."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_bytes(count: float) -> str:
    """Decimal units (SI): 999 B, 1.5 kB, 2.0 GB."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.95:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} TB"


def format_moment(iso: str) -> str:
    """An ISO 8601 instant in this machine's time zone, to the second."""
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")
