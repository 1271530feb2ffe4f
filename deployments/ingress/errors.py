"""Every way in which a request can end without an answer, with its HTTP status.

Whatever goes wrong, the body is `{"error": …}`.
"""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import ValidationError

NOTHING_HERE = "there is nothing at this path; /docs lists what there is"


class RequestError(Exception):
    """A request that cannot be served as it is; the message says what is wrong and what may be."""

    status = 400
    headers: ClassVar[Mapping[str, str]] = {}


class InvalidInput(RequestError):
    """A field that has the wrong type, shape or value."""

    status = 422


class Unauthorized(RequestError):
    """No bearer token, or another."""

    status = 401
    headers: ClassVar = {"WWW-Authenticate": "Bearer"}


class NotFound(RequestError):
    """An unknown path, model or version."""

    status = 404


class Conflict(RequestError):
    """What was asked for cannot be done in the state of things."""

    status = 409


class TooMany(RequestError):
    """Others are guessing."""

    status = 429
    headers: ClassVar = {"Retry-After": "1"}


class BodyTooLarge(RequestError):
    """A body, image or batch over its limit."""

    status = 413


class UnsupportedMedia(RequestError):
    """A body in a format or an encoding that is not read."""

    status = 415


class UnsupportedCoding(UnsupportedMedia):
    """A body that is compressed in another way than those that are read."""

    headers: ClassVar = {"Accept-Encoding": "gzip, deflate"}


class BaseFailed(RequestError):
    """The base DNN raised on this request: the one internal error there is."""

    status = 500


class Unavailable(RequestError):
    """No answer now, but there may be one soon: replicas are gone, or as busy as they may be."""

    status = 503
    headers: ClassVar = {"Retry-After": "1"}


class TooLate(RequestError):
    """The deadline passed before the answer came."""

    status = 504


def first_mistake(error: ValidationError) -> str:
    """What is wrong with a body: the field, why, and what it got, cut short."""
    first = error.errors(include_url=False)[0]
    field = ".".join(map(str, first["loc"])) or "the body"
    got = repr(first["input"])
    return f"{field}: {first['msg']}; got {got if len(got) <= 80 else got[:77] + '...'}"
