"""Where uv finds packages: where pip does, which a machine may have been told in ways that uv does not ask."""

from __future__ import annotations

import os

# The same setting, by uv's name and by pip's.
SAME = {"UV_FIND_LINKS": "PIP_FIND_LINKS", "UV_DEFAULT_INDEX": "PIP_INDEX_URL"}


def uv_environment() -> dict[str, str]:
    """Give this environment, with what pip is told of packages, and with the certificates that the system believes."""
    told = {name: os.environ[other] for name, other in SAME.items() if os.environ.get(other)}
    return {**os.environ, "UV_SYSTEM_CERTS": "1", **told}
