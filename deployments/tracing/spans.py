"""Spans of a request's way, for OpenTelemetry, where Serve's `tracing_config` has it traced.

Serve makes the span of a request that comes in, and those of calls by its handles. The spans here
say what the request was at every step, and are the same whichever way calls go:

1. `request`: from its arrival to its answer, and in it `step`: what the router does itself;
2. `hop`: a call to a stage;
3. `served`: the same at the replica, which is told the trace by Serve or by its `traceparent`;
4. `run_on`: what is computed of a sampled request after its answer.

Where tracing is off, each returns after one look at a variable.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cache_models.network.stages import LookUp, Message, Reply, Stage, Verdict

InSpan = AbstractContextManager[Span]
Attributes = dict[str, str | int]
PROPAGATOR = TraceContextTextMapPropagator()
TRACEPARENT = "traceparent"
_NOWHERE: InSpan = nullcontext(trace.INVALID_SPAN)
_UNSAMPLED = NonRecordingSpan(SpanContext(1, 1, is_remote=False))
"""Stands for a request that is not traced, so that Serve begins no trace at one of its calls."""


@cache
def is_on() -> bool:
    """Whether Serve has set tracing up in this process, which it does before all else."""
    return isinstance(trace.get_tracer_provider(), TracerProvider)


def request(traceparent: str) -> InSpan:
    """The span of a request that has just come, as the caller, or Serve for it, has begun it.

    Args:
        traceparent: the caller's; empty for none.
    """
    if not is_on():
        return _NOWHERE
    if (callers := _callers(traceparent)) is not None:
        return _begun("request", SpanKind.SERVER, context=callers)
    return _begun("request") if _traced() else trace.use_span(_UNSAMPLED)


def ended(span: Span, status: int, outcome: Attributes) -> None:
    """What has become of a request.

    Args:
        status: as HTTP has it.
    """
    span.set_attribute("http.response.status_code", status)
    span.set_attributes({f"gati.{name}": value for name, value in outcome.items()})
    if status >= 500:
        span.set_status(StatusCode.ERROR)


def step(name: str) -> InSpan:
    """Of what the router does itself."""
    return _naming_errors(_begun(name)) if _traced() else _NOWHERE


def hop(stage: Stage, message: Message) -> InSpan:
    """Of a call to a stage, from asking to its reply."""
    if not _traced():
        return _NOWHERE
    asked: Attributes = {"gati.stage": stage.name, "gati.rows": len(message.batch)}
    if isinstance(message, LookUp):
        asked |= {"gati.cut_point": stage.start, "gati.cache_version": message.version}
    return _naming_errors(_begun(stage.name, SpanKind.CLIENT, asked))


def went(way: str) -> None:
    """The current hop has been answered that way."""
    if _traced():
        trace.get_current_span().set_attribute("gati.way", way)


def replied(span: Span, reply: Reply) -> None:
    """What a hop has brought."""
    if span.is_recording() and isinstance(reply, Verdict):
        span.set_attribute("gati.hits", int(reply.hits.sum()))


def served(stage: str, message: Message) -> InSpan:
    """Of a replica's reply."""
    if not _traced():
        return _NOWHERE
    asked: Attributes = {"gati.stage": stage, "gati.rows": len(message.batch)}
    return _naming_errors(_begun(stage, SpanKind.SERVER, asked))


def computed(span: Span | None, batch_rows: int, queued_ms: float, compute_ms: float) -> None:
    """What a replica has computed for one message, in a batch of so many rows."""
    if span is not None:
        span.set_attributes(
            {
                "gati.batch_rows": batch_rows,
                "gati.queued_ms": round(queued_ms, 3),
                "gati.compute_ms": round(compute_ms, 3),
            }
        )


def run_on(context: Context | None) -> InSpan:
    """Of what is computed after the answer.

    Args:
        context: what `context` returned while the request was answered.
    """
    return _NOWHERE if context is None else _naming_errors(_begun("run_on", context=context))


def context() -> Context | None:
    """To go on in later; None where nothing is traced."""
    return get_current() if _traced() else None


def current() -> Span | None:
    """The span that has begun last; None where nothing is traced."""
    return trace.get_current_span() if _traced() else None


def traceparent() -> str:
    """By which another process takes the trace up; empty where nothing is traced."""
    carrier: dict[str, str] = {}
    if _traced():
        PROPAGATOR.inject(carrier)
    return carrier.get(TRACEPARENT, "")


def trace_id(callers: str) -> str:
    """Of the trace, 32 hexadecimal digits; empty for none.

    Args:
        callers: `traceparent`, which counts where nothing is traced here.
    """
    found = _sent(callers) if not _traced() else trace.get_current_span().get_span_context()
    return trace.format_trace_id(found.trace_id) if found.is_valid else ""


def taken_up(traceparent: str) -> InSpan:
    """In the trace of who asks.

    Args:
        traceparent: empty for none.
    """
    if not traceparent:
        return _NOWHERE
    return trace.use_span(NonRecordingSpan(_sent(traceparent)))


def _callers(traceparent: str) -> Context | None:
    """The caller's trace, where Serve has not taken it up, as behind its own proxies."""
    if not traceparent:
        return None
    sent, here = _sent(traceparent), trace.get_current_span().get_span_context()
    if not sent.is_valid or sent.trace_id == here.trace_id:
        return None
    return trace.set_span_in_context(NonRecordingSpan(sent))


def _sent(traceparent: str) -> SpanContext:
    """What it says; what is none is invalid."""
    found = PROPAGATOR.extract({TRACEPARENT: traceparent})
    return trace.get_current_span(found).get_span_context()


def _traced() -> bool:
    return is_on() and trace.get_current_span().get_span_context().trace_flags.sampled


def _begun(
    name: str,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Attributes | None = None,
    context: Context | None = None,
) -> InSpan:
    """Errors are left to others: a message may repeat what was sent."""
    return trace.get_tracer("gati").start_as_current_span(
        name, context, kind, attributes, record_exception=False, set_status_on_exception=False
    )


@contextmanager
def _naming_errors(begun: InSpan) -> Iterator[Span]:
    """The span, which says of an error what kind it is."""
    with begun as span:
        try:
            yield span
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise
