"""The tools that agents are given: every name that a stream calls; each takes anything and answers the same."""

from __future__ import annotations

from typing import Any

FUNCTIONS = ("shell", "list", "noargs", "exec", "update_plan")
CUSTOM = "apply_patch"
ANSWER = "done"
PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": True}
