"""What a request says of itself beside its body: HTTP's headers, or gRPC's metadata of the same
names."""

import math
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from deployments.graph.timeline import Timeline
from deployments.ingress import streams
from deployments.ingress.documents import parameter
from deployments.ingress.errors import RequestError
from deployments.tracing import spans

TIMEOUT_HEADER = "X-Request-Timeout-Ms"
MOST_CHARACTERS = 128
"""Of `traceparent`, which has 55 in its first version."""
HEADERS = [
    parameter("header", "X-Trace", "1 asks where the time went"),
    parameter("header", "X-Request-ID", "comes back in the answer, and stands in logs"),
    parameter("header", "traceparent", "of the W3C's Trace Context; the request joins that trace"),
    parameter("header", TIMEOUT_HEADER, "after which nobody wants the answer: 504, and no work"),
    parameter(
        "header",
        streams.HEADER,
        "the camera, user or device that the request comes from: any text of at most "
        f"{streams.MOST_CHARACTERS} characters, of which a keyed hash is kept",
    ),
]


class Caller(NamedTuple):
    """
    Attributes:
        request_id: the client's, or one that was made up; logs and the answer have it.
        stream: the name of its stream; empty for none.
        traceparent: of the W3C's Trace Context; empty for none.
        wants_trace: whether it asks where the time went.
        timeout_ms: as it said; empty for as long as the server allows.
    """

    request_id: str
    stream: str
    traceparent: str
    wants_trace: bool
    timeout_ms: str = ""

    def __str__(self) -> str:
        """For log lines."""
        told = f"request {self.request_id}"
        return f"{told}, traceparent {self.traceparent}" if self.traceparent else told

    def timeout_s(self, most: float) -> float:
        """After which nobody wants the answer, `most` at most.

        Raises:
            RequestError: it is no number of milliseconds.
        """
        if not self.timeout_ms:
            return most
        try:
            ms = float(self.timeout_ms)
        except ValueError:
            ms = math.nan
        if not ms > 0:
            raise RequestError(
                f"the header {TIMEOUT_HEADER!r} is {self.timeout_ms!r:.80}; it may be a number of "
                f"milliseconds above 0"
            )
        return min(most, ms / 1e3)

    def trace(self, timeline: Timeline) -> list[dict[str, Any]]:
        """The steps so far, the request itself the first if it belongs to a trace."""
        told = timeline.told()
        if traceparent := self.traceparent or spans.traceparent():
            whole = {"step": "request", "at_ms": 0.0, "ms": round(timeline.ms, 3)}
            told.insert(0, whole | {"traceparent": traceparent})
        return told


def caller(headers: Mapping[str, str]) -> Caller:
    """
    Args:
        headers: by lower-case names.
    """
    return Caller(
        headers.get("x-request-id") or uuid.uuid4().hex,
        headers.get(streams.HEADER.lower(), ""),
        headers.get("traceparent", "")[:MOST_CHARACTERS],
        headers.get("x-trace") == "1",
        headers.get(TIMEOUT_HEADER.lower(), ""),
    )
