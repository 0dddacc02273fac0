"""A refusal: the error answer of the service."""

from __future__ import annotations


class RefusedError(Exception):
    """The call is answered with an HTTP status, an error code and a message."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def invalid_parameter(name: str, value: str) -> RefusedError:
    """Returns the refusal of a parameter's value."""
    return RefusedError(400, "InvalidParameter", f"The specified parameter {name} is not valid: {value[:64]}.")
