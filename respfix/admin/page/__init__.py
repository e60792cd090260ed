"""The status page: markup, style and script in one document that asks for nothing else than `status.json`.

The browser is told to run and to show only what stands in it: the policy names both by their digest.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources


def _part(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")


def _digest(part: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"


_STYLE, _SCRIPT = _part("page.css"), _part("page.js")

PAGE = _part("page.html").replace("{style}", _STYLE).replace("{script}", _SCRIPT)

POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src {_digest(_STYLE)}",
        f"script-src {_digest(_SCRIPT)}",
        "connect-src 'self'",
        "img-src data:",  # the icon
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
