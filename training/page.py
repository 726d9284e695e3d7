"""Pieces of the HTML pages: style, tables, pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from PIL import Image

from training.datasets.base import UInt8Array

THUMBNAIL = 120  # pixels, the longer side

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c1c1c}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .5rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left;white-space:nowrap}th+th{max-width:7rem}
.wide{overflow-x:auto}.plots{display:flex;flex-wrap:wrap;gap:1rem}.plots svg{max-width:100%;height:auto}
figure{display:inline-block;margin:.4rem;font-size:.8rem;text-align:center}.note{color:#555}
"""


def png(pixels: UInt8Array) -> str:
    """Base64 of a PNG of uint8 [h, w, 3], at the size of a thumbnail."""
    image, buffer = Image.fromarray(np.asarray(pixels)), io.BytesIO()
    scale = THUMBNAIL / max(image.size)
    image.resize((round(image.width * scale), round(image.height * scale))).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def table(rows: Iterable[Sequence[Any]]) -> str:
    """A table; the first row is its head."""
    head, *body = [[escape(str(cell)) for cell in row] for row in rows]
    lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body]
    return '<div class="wide"><table>' + "".join(lines) + "</table></div>"
