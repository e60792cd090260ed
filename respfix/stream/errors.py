"""What upstream says went wrong, in any of the shapes it is said in, and in the form that every client notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from respfix.stream.event import Body


def error_in(body: Body) -> Body | None:
    """Read an error in any of its shapes: nested, flat, or as a text."""
    error = body.get("error")
    if isinstance(error, str) and error:
        return {"code": "server_error", "message": error}
    if isinstance(error, dict) and error:
        message = error.get("message") or error.get("detail") or ""
        code = error.get("code") or error.get("type") or "server_error"
        return {"code": str(code), "message": str(message), "type": str(error.get("type") or code)}
    if error is None and isinstance(body.get("message"), str) and body["message"]:
        return {"code": str(body.get("code") or "server_error"), "message": body["message"]}
    return None


def in_words(error: Body) -> Body:
    """Give an error with a code and a message, whatever it lacked."""
    code = error.get("code") or "server_error"
    return {
        **error,
        "code": code,
        "message": error.get("message") or f"the upstream failed ({code}) and did not say why",
    }


def top_level(error: Body) -> Body:
    """The form at the top level that every measured client notices."""
    return {
        "type": error.get("type") or error["code"],
        "code": error["code"],
        "message": error["message"],
        "param": None,
    }
