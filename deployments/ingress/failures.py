"""From whatever keeps an answer from coming to what the client is told."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from deployments.graph.timeline import Timeline
from deployments.ingress.caller import TIMEOUT_HEADER, Caller
from deployments.ingress.errors import (
    BaseFailed,
    BodyTooLarge,
    InvalidInput,
    RequestError,
    TooLate,
    Unavailable,
    UnsupportedMedia,
)
from deployments.ingress.observed import observed
from deployments.ingress.service import Service
from deployments.transport.errors import Failed, Lost, PlaceError, Refused

logger = logging.getLogger(__name__)

REFUSALS = (
    RequestError,
    BodyTooLarge,
    UnsupportedMedia,
    InvalidInput,
    BaseFailed,
    Unavailable,
    TooLate,
)
"""What any request for an answer may get."""


@asynccontextmanager
async def named_failures(
    service: Service, timeline: Timeline, caller: Caller
) -> AsyncIterator[float]:
    """Until the deadline; gives whatever keeps an answer from coming a status, be it that too many
    are being answered, and counts it. Traces and logs are told how it ended.

    Yields:
        Seconds after the timeline's start at which nobody wants the answer any more.

    Raises:
        RequestError: in place of what was raised.
        Exception: a mistake of ours, as it is.
    """
    timeout_s = service.limits.timeout_s
    with observed(caller, timeline):
        try:
            timeout_s = caller.timeout_s(timeout_s)
            service.load.check(caller.stream)
            async with asyncio.timeout(timeout_s):
                yield timeout_s
        except Exception as error:
            late = timeline.ms >= 0.999 * 1e3 * timeout_s
            named = _named(TimeoutError() if late and isinstance(error, Lost) else error, timeout_s)
            if named is None:
                raise
            service.count_error(named.status)
            if isinstance(named, BaseFailed):
                logger.error("%s: %s", caller, named)
            raise named from error


def _named(error: Exception, timeout_s: float) -> RequestError | None:
    """What the client is told; None is a mistake of ours."""
    match error:
        case RequestError():
            return error
        case TimeoutError():
            return TooLate(
                f"no answer within {timeout_s:g} s; try again later, or allow more by the header "
                f"{TIMEOUT_HEADER}, or by http.timeout_s in serve_config.yaml"
            )
        case Failed():
            return BaseFailed(
                f"the base DNN failed on this request: {error}; the traceback is in the log of the "
                f"replica that raised, in /tmp/ray/session_latest/logs/serve"
            )
        case Refused():
            return Unavailable(f"the server is at its limit, try again later: {error}")
        case PlaceError() | RayError() | RayServeException():
            return Unavailable(f"the base DNN cannot answer now: {error}")
    return None
