"""What operators may ask for over HTTP, and who may."""

import hmac
import json
import os
from typing import Any, Literal

from fastapi import Request
from pydantic import StrictBool, TypeAdapter, ValidationError

from deployments.ingress.errors import InvalidInput, NotFound, RequestError

TOKEN = "GATI_ADMIN_TOKEN"
"""Environment variable of the bearer token; without it there are no `/admin` paths."""

FIELDS = {
    "mode": TypeAdapter(Literal["serve", "shadow", "off"]),
    "pinned": TypeAdapter(StrictBool),
    "version": TypeAdapter(int),
}


class Unauthorized(RequestError):
    """No bearer token, or another."""

    status = 401


class Refused(RequestError):
    """What was asked for cannot be done in the state of things."""

    status = 409


async def only(request: Request) -> None:
    """For paths that need the token."""
    check_token(request.headers.get("authorization"), os.environ.get(TOKEN))


def check_token(authorization: str | None, token: str | None) -> None:
    """
    Args:
        authorization: the request's header.
        token: that it must bear; without one there is nothing here.

    Raises:
        NotFound, Unauthorized
    """
    if not token:
        raise NotFound("Not Found")
    if not hmac.compare_digest((authorization or "").encode(), f"Bearer {token}".encode()):
        raise Unauthorized("send the header 'Authorization: Bearer <token>' with the admin token")


def field(body: bytes, name: str) -> Any:
    """The field `name`, one of `FIELDS`, of a JSON object.

    Raises:
        InvalidInput: names the field, what it got and what it may be.
    """
    try:
        value = json.loads(body or b"{}")[name]
        return FIELDS[name].validate_python(value)
    except ValidationError as error:
        details = error.errors()[0]
        raise InvalidInput(f"{name}: {details['msg']}, not {details['input']!r}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f'the body must be a JSON object such as {{"{name}": …}}') from error
