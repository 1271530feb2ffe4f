"""By ZeroMQ a traced call has its `traceparent` among its frames, and another has no frame more."""

import asyncio

import pytest

from cache_models.network.stages import Run
from deployments.tracing import spans
from deployments.transport.frames import to_frames
from deployments.transport.zmq.server import TRACED
from deployments.transport.zmq.wire import Wire
from tests.deployments.transport.zmq.test_client import BATCH, connected
from tests.traces import by_serve, id_of, parent_of


@pytest.fixture
def sent(monkeypatch):
    """Frames of all messages."""
    messages, send = [], Wire.send

    def sending(self, frames):
        messages.append(frames)
        send(self, frames)

    monkeypatch.setattr(Wire, "send", sending)
    return messages


async def ask(client, replicas) -> str:
    """What a replica knows of the trace."""
    answer, known = replicas[0].endpoint._answer, []

    async def answering(message, until):
        with spans.served("Partition0", message):
            known.append(spans.traceparent())
            return await answer(message, until)

    replicas[0].endpoint._answer = answering
    await client.ask(Run(BATCH))
    replicas[0].endpoint._answer = answer
    return known[0]


def test_a_call_that_is_not_traced_has_no_frame_for_it(key, sent):
    async def run():
        async with connected(key) as (client, replicas):
            return await ask(client, replicas)

    assert asyncio.run(run()) == ""
    assert [bytes(part) for part in sent[0][1:]] == [
        b"Run", *map(bytes, to_frames([None, False, *Run(BATCH)])),
    ]  # fmt: skip


def test_a_replica_goes_on_in_the_trace_of_who_asks_and_in_no_other(key, sent, finished):
    async def run():
        async with connected(key) as (client, replicas):
            with by_serve() as caller:
                inside = await ask(client, replicas)
            return caller, inside, [await ask(client, replicas) for _ in range(3)]

    caller, inside, later = asyncio.run(run())
    assert sent[0][1] == TRACED and sent[0][2].startswith(f"00-{7:032x}-{id_of(caller)}".encode())
    assert inside.startswith(f"00-{7:032x}-")
    assert parent_of(finished()["Partition0"]) == id_of(caller)
    assert later == ["", "", ""]


@pytest.mark.parametrize("traceparent", [b"", b"nonsense", b"\xff"])
def test_a_traceparent_that_says_nothing_does_no_harm(key, traceparent, monkeypatch):
    monkeypatch.setattr(spans, "traceparent", lambda: traceparent.decode("latin-1"))

    async def run():
        async with connected(key) as (client, _):
            return await client.ask(Run(BATCH))

    assert asyncio.run(run()).class_ids.tolist() == [0, 1]
