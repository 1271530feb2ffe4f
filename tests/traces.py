"""A tracer that keeps what it is given, set up as Serve sets one up in its processes."""

from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

from deployments.tracing import spans

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CALLERS = f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.fixture
def finished(monkeypatch):
    """Called for the spans that have ended, by name; only what somebody else traces is traced."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    spans.is_on.cache_clear()
    yield lambda: {span.name: span for span in exporter.get_finished_spans()}
    spans.is_on.cache_clear()
    provider.shutdown()


@contextmanager
def by_serve():
    """A request that Serve traces."""
    parent = trace.NonRecordingSpan(
        trace.SpanContext(7, 7, is_remote=True, trace_flags=trace.TraceFlags(1))
    )
    with trace.get_tracer("serve").start_as_current_span(
        "replica_handle_request", trace.set_span_in_context(parent)
    ) as span:
        yield span


def parent_of(span) -> str:
    """Its id, as `traceparent` has it."""
    return trace.format_span_id(span.parent.span_id)


def id_of(span) -> str:
    return trace.format_span_id(span.get_span_context().span_id)
