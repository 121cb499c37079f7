"""Clerk's one shape of error, raised anywhere in the emulator and turned into an answer in one place."""

from __future__ import annotations

import secrets

from starlette.requests import Request
from starlette.responses import JSONResponse


class ClerkError(Exception):
    """A refusal as Clerk words it: HTTP status, code, message, and the parameter that it is about."""

    def __init__(
        self, status: int, code: str, message: str, *, param: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.param, self.headers = status, code, message, param, headers or {}

    def body(self) -> dict[str, object]:
        """``{"errors": [...], "clerk_trace_id": ...}``."""
        meta = {"param_name": self.param} if self.param else {}
        error = {"code": self.code, "message": self.message, "long_message": self.message, "meta": meta}
        return {"errors": [error], "clerk_trace_id": secrets.token_hex(16)}


def not_found(what: str) -> ClerkError:
    return ClerkError(404, "resource_not_found", f"{what} not found")


def missing(param: str) -> ClerkError:
    return ClerkError(422, "form_param_missing", f"{param} is missing", param=param)


def invalid(param: str, why: str) -> ClerkError:
    return ClerkError(422, "form_param_value_invalid", f"{param} is invalid: {why}", param=param)


def taken(param: str, what: str) -> ClerkError:
    return ClerkError(422, "form_identifier_exists", f"That {what} is taken. Please try another.", param=param)


async def answer(_request: Request, error: Exception) -> JSONResponse:
    """Starlette's exception handler for ClerkError."""
    assert isinstance(error, ClerkError)  # noqa: S101 - registered for nothing else
    return JSONResponse(error.body(), error.status, headers=error.headers)
