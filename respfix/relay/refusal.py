"""Answers that respfix gives itself, in the shape in which OpenAI's API gives errors, so that clients can show them."""

from __future__ import annotations

import json


class Refusal(Exception):  # noqa: N818 (it is an answer before it is an error)
    """The request ends here with this status; the message says who speaks and what to check, never what was sent."""

    def __init__(
        self, status: int, code: str, message: str, *, is_last: bool = False, retry_after: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = f"respfix: {message}"
        self.is_last = is_last  # the connection cannot be used after this
        self.retry_after = retry_after  # seconds after which it may be worth another attempt

    @property
    def body(self) -> bytes:
        """OpenAI's error object; its type is what the official SDKs' users look at first."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"  # noqa: PLR2004 (HTTP's own border)
        error = {"message": self.message, "type": kind, "param": None, "code": self.code}
        return json.dumps({"error": error}).encode()
