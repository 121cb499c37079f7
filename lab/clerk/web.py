"""Small things that every part of the emulator needs of a request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from lab.clerk.errors import ClerkError, invalid, missing

Json = dict[str, Any]
MAX_LIMIT = 500


def public_base(request: Request) -> str:
    """Where the browser sees this server: what a proxy says (``Clerk-Proxy-Url``, ``X-Forwarded-*``), else the address asked for."""
    headers = request.headers
    if told := headers.get("clerk-proxy-url"):
        return told.rstrip("/")
    scheme = headers.get("x-forwarded-proto", request.url.scheme)
    host = headers.get("x-forwarded-host", request.url.netloc)
    return f"{scheme}://{host}{headers.get('x-forwarded-prefix', '').rstrip('/')}"


async def form(request: Request) -> dict[str, str]:
    """Fields of a form-encoded body, empty ones too; the last one of a name counts."""
    try:
        return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
    except UnicodeDecodeError as error:
        raise ClerkError(400, "request_body_invalid", "The request body is no form in UTF-8") from error


async def body(request: Request) -> Json:
    """The JSON object in the body; nothing is an empty one."""
    raw = await request.body()
    try:
        found = json.loads(raw or b"{}")
    except ValueError as error:
        raise ClerkError(
            400, "request_body_invalid", "The request body is invalid. Please consult the API documentation."
        ) from error
    if not isinstance(found, dict):
        raise ClerkError(400, "request_body_invalid", "The request body is invalid: an object is expected")
    return found


def known(found: Json, names: Sequence[str]) -> Json:
    """The body when it holds only parameters that exist: Clerk refuses unknown ones."""
    for name in found:
        if name not in names:
            raise ClerkError(422, "form_param_unknown", f"{name} is not a valid parameter for this request.", param=name)
    return found


def text(found: Json, name: str) -> str:
    """A parameter that has to be there."""
    value = found.get(name)
    if value is None or value == "":
        raise missing(name)
    if not isinstance(value, str):
        raise invalid(name, "it must be a string")
    return value


def yes(value: str | None) -> bool:
    return value in ("true", "1")


def window(request: Request, default: int = 10) -> tuple[int, int]:
    """(limit, offset) of a list request; Clerk's bounds."""
    found = []
    for name, fallback, low, high in (("limit", default, 1, MAX_LIMIT), ("offset", 0, 0, None)):
        raw = request.query_params.get(name, str(fallback))
        if not raw.isdecimal() or int(raw) < low or (high is not None and int(raw) > high):
            raise invalid(name, f"it must be a number from {low}" + (f" to {high}" if high else ""))
        found.append(int(raw))
    return found[0], found[1]


def many(request: Request, name: str) -> list[str]:
    """Values of a repeated query parameter, also in the form ``name[]`` or separated by commas."""
    values = [*request.query_params.getlist(name), *request.query_params.getlist(f"{name}[]")]
    return [part for value in values for part in value.split(",") if part]
