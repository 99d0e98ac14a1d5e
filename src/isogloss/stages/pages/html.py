"""A template of `assets/page` as one file that opens without a network, a server or JavaScript.

Styles and script are inlined, and the page's own policy forbids any request and any other script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any


def render(template: str, shared: Any, **values: Any) -> str:
    """A template of `assets/page` as one file; `shared` is data that its script reads."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    folder = Path(__file__).parents[2] / "assets" / "page"

    def tight(name: str) -> str:
        """A template without the indents and empty lines that only its writer needs."""
        return re.sub(r"\n\s+", "\n", (folder / name).read_text(encoding="utf-8"))

    env = Environment(loader=FunctionLoader(tight), autoescape=True, trim_blocks=True, undefined=StrictUndefined)
    env.filters |= {
        "num": number,
        "signed": signed,
        "count": "{:,}".format,
        "dec": decimal,
        "figures": lambda x: f"{x:+.3g}".replace("-", "−"),
    }
    script = (folder / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return env.get_template(template).render(
        css=Markup((folder / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        digest=digest,
        shared=Markup(_json(shared)) if shared else None,
        **values,
    )


def _json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return (
        text.replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def number(x: float | None, digits: int = 3) -> str:
    """`0.716`, `−0.031`, or a dash.

    >>> number(0.7161), number(-0.5, 2), number(None)
    ('0.716', '−0.50', '–')
    """
    return "–" if x is None or not math.isfinite(x) else f"{x:.{digits}f}".replace("-", "−")


def decimal(x: float | None, digits: int = 1) -> str:
    """`1,234.5`, or a dash."""
    return "–" if x is None else f"{x:,.{digits}f}".replace("-", "−")


def signed(x: float | None, digits: int = 3) -> str:
    """`+0.031`, `−0.031`, `0.000`, or a dash."""
    if x is None or not math.isfinite(x):
        return "–"
    text = f"{x:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")
