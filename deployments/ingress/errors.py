"""Every way in which a request can be wrong, with its HTTP status."""


class RequestError(Exception):
    """A request that cannot be served as it is; the message says what is wrong and what may be."""

    status = 400


class InvalidInput(RequestError):
    """A field that has the wrong type, shape or value."""

    status = 422


class NotFound(RequestError):
    """An unknown model or version."""

    status = 404


class BodyTooLarge(RequestError):
    """A body, image or batch over its limit."""

    status = 413


class UnsupportedMedia(RequestError):
    """A body that is neither PNG nor JPEG."""

    status = 415


class Unavailable(RequestError):
    """The base DNN cannot answer now."""

    status = 503
