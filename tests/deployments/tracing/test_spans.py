"""Where a request is not traced there are no spans; where it is, each step has one."""

import asyncio
import time

import numpy as np
import pytest
from opentelemetry import trace

from cache_models.network.stages import INPUT, Answer, LookUp, Run, Stage, Verdict
from deployments.graph.batching import Batching
from deployments.graph.compute import ComputeThread
from deployments.graph.timeline import Timeline
from deployments.tracing import spans
from deployments.transport.errors import Lost
from deployments.transport.place import Deployed
from tests.traces import CALLERS, SPAN_ID, TRACE_ID, by_serve, id_of, parent_of

LOOKUP = Stage("lookup", 0, 0, INPUT, INPUT)
PARTITION = Stage("partition", 0, 0, INPUT, None)
ASKED = LookUp(np.zeros((3, 2), np.float16), 4)


class FakeReplicas:
    """Of a stage, hit by two rows of three."""

    reply_row_bytes, client, handle = 0, None, None

    def __init__(self, error=None):
        self.error, self.traceparent = error, ""

    async def ask(self, message, until):
        self.traceparent = spans.traceparent()
        if self.error:
            raise self.error
        spans.went("lane")
        hits = np.array([True, False, True])
        return Verdict(hits, np.zeros(3, int), np.zeros((3, 2)), np.ones(3))


def ask(replicas, stage=LOOKUP):
    return asyncio.run(Deployed({stage: replicas}).ask(stage, ASKED))


def all_steps(replicas):
    """Of a request, from its arrival on."""
    timeline = Timeline(time.perf_counter())
    with spans.request("") as span:
        with timeline.step("decode"):
            pass
        ask(replicas)
        spans.ended(span, 200, {"exit": "input"})
        with spans.served("Lookup0", ASKED):
            computed(ASKED.batch)
        context = spans.context()
    with spans.run_on(context):
        return context


def computed(batch):
    thread = ComputeThread()
    batching = Batching(
        thread, lambda batch: Answer(np.zeros(len(batch), int), np.zeros((len(batch), 2))), 8
    )
    return asyncio.run(thread.done(batching.submit(batch)))


def test_where_tracing_is_off_nothing_is_made(monkeypatch):
    monkeypatch.setattr(spans, "_begun", lambda *_: pytest.fail("a span was begun"))
    replicas = FakeReplicas()
    assert all_steps(replicas) is None
    assert (replicas.traceparent, spans.trace_id(""), spans.current()) == ("", "", None)
    nowhere = spans.request(CALLERS)
    assert spans.hop(LOOKUP, ASKED) is spans.step("read") is spans.run_on(None) is nowhere


def test_a_request_that_is_not_sampled_has_no_spans_and_begins_no_trace_later(finished):
    with spans.request(""):
        with trace.get_tracer("serve").start_as_current_span("route_to_replica"):
            pass  # as Serve does for every call by handle
        assert all_steps(FakeReplicas()) is None
        assert spans.trace_id("") == ""
    assert finished() == {}


def test_every_step_has_a_span_under_the_one_that_serve_has_made(finished):
    with by_serve() as whole:
        all_steps(replicas := FakeReplicas())
    made = finished()
    request, served = made["request"], made["Lookup0"]
    assert parent_of(request) == id_of(whole)
    assert {parent_of(made[name]) for name in ("decode", "Lookup0", "run_on")} == {id_of(request)}
    assert {span.context.trace_id for span in made.values()} == {7}
    assert replicas.traceparent.startswith(f"00-{7:032x}-")
    assert dict(request.attributes) == {"http.response.status_code": 200, "gati.exit": "input"}
    assert dict(served.attributes).keys() == {
        "gati.stage", "gati.rows", "gati.batch_rows", "gati.queued_ms", "gati.compute_ms",
    }  # fmt: skip


def test_a_hop_says_what_was_asked_which_way_and_how_many_hit(finished):
    with by_serve():
        ask(FakeReplicas())
    (hop,) = (span for name, span in finished().items() if name == "Lookup0")
    assert hop.kind is trace.SpanKind.CLIENT
    assert dict(hop.attributes) == {
        "gati.stage": "Lookup0",
        "gati.rows": 3,
        "gati.cut_point": INPUT,
        "gati.cache_version": 4,
        "gati.way": "lane",
        "gati.hits": 2,
    }


def test_an_error_is_told_by_its_kind_and_not_by_what_it_says(finished):
    with by_serve(), pytest.raises(Lost):
        ask(FakeReplicas(Lost("my secret")))
    hop = finished()["Lookup0"]
    assert hop.attributes["error.type"] == "Lost"
    assert not hop.status.is_ok and "secret" not in hop.to_json()


def test_the_callers_trace_is_taken_up_where_serve_has_not(finished):
    with spans.request(CALLERS):
        assert spans.traceparent().startswith(f"00-{TRACE_ID}-")
    request = finished()["request"]
    assert parent_of(request) == SPAN_ID
    assert request.kind is trace.SpanKind.SERVER


@pytest.mark.parametrize("sent", ["", "nonsense", f"00-{TRACE_ID}-{SPAN_ID}-00"])
def test_a_caller_who_traces_nothing_is_not_traced(finished, sent):
    with spans.request(sent):
        assert spans.traceparent() == ""
    assert finished() == {}


def test_what_is_computed_together_says_so(finished):
    thread = ComputeThread()
    batching = Batching(
        thread, lambda batch: Answer(np.zeros(len(batch), int), np.zeros((len(batch), 2))), 8
    )

    async def run():
        thread.submit(time.sleep, 0.05)
        with spans.served("Partition0", Run(np.zeros((2, 1)))):
            first = batching.submit(np.zeros((2, 1)))
            second = batching.submit(np.zeros((3, 1)))
            await asyncio.gather(thread.done(first), thread.done(second))

    with by_serve():
        asyncio.run(run())
    said = finished()["Partition0"].attributes
    assert (said["gati.rows"], said["gati.batch_rows"]) == (2, 5)
    assert said["gati.queued_ms"] >= 25
