"""What traces and logs are told of a request when it is over.

A trace has it where Serve's `tracing_config` has the request traced. A log has a line of it, one
JSON object, where Serve's `logging_config` says `encoding: JSON`; it counts as a line of Serve's
access log, which `enable_access_log: false` turns off. With neither, nothing is put together.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray import serve
from ray._common.formatters import JSONFormatter

from deployments.graph.timeline import Timeline
from deployments.ingress.caller import Caller
from deployments.ingress.errors import RequestError
from deployments.tracing import spans

logger = logging.getLogger("ray.serve")

GONE = 499
"""In place of a status where the client has left; Serve's log says the same."""
ACCESS = {"serve_access_log": True, "skip_context_filter": True}
"""How Serve marks lines of its access log, and those that have what its filters would look up."""


@contextmanager
def observed(asker: Caller, timeline: Timeline) -> Iterator[None]:
    """Until the request has its answer, or an error, whose status is told."""
    status = GONE
    with spans.request(asker.traceparent) as span:
        try:
            yield
            status = 200
        except Exception as error:
            status = error.status if isinstance(error, RequestError) else 500
            raise
        finally:
            if span.is_recording():
                spans.ended(span, status, {"request_id": asker.request_id} | _outcome(timeline))
            if _logs_json():
                _log(asker, timeline, status)


def _outcome(timeline: Timeline) -> dict[str, Any]:
    """What is known of it. Rows of a batch may have several exits."""
    told: dict[str, Any] = {"stream": timeline.stream} if timeline.stream else {}
    if (answers := timeline.answers) is not None:
        told["exit"] = ",".join(dict.fromkeys(answers.exits))
        told["cache_version"], told["rows"] = answers.cache_version, len(answers.exits)
    return told


def _logs_json() -> bool:
    """Whether Serve writes this replica's logs as JSON, which may change while it runs; only the
    form of its files says so, whose handler is behind one that collects lines."""
    return any(
        isinstance(getattr(handler, "target", handler).formatter, JSONFormatter)
        for handler in logger.handlers
    )


def _log(asker: Caller, timeline: Timeline, status: int) -> None:
    here, latency_ms = serve.get_replica_context(), timeline.ms
    fields = {
        "application": here.app_name,
        "deployment": here.deployment,
        "replica": here.replica_id.unique_id,
        "request_id": asker.request_id,
        "status": status,
        "latency_ms": round(latency_ms, 3),
        **_outcome(timeline),
    }
    if trace_id := spans.trace_id(asker.traceparent):
        fields["trace_id"] = trace_id
    logger.info("request %s %.1fms", status, latency_ms, extra=ACCESS | fields)
