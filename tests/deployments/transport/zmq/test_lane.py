"""Real sockets on loopback: answers arrive, strangers do not, and what is lost is known to be."""

import asyncio
import stat
from contextlib import asynccontextmanager

import numpy as np
import pytest
import zmq
import zmq.asyncio

from cache_models.network.stages import Answer
from deployments.transport.zmq import client
from deployments.transport.zmq.client import Lane, LaneAddress, LaneLost
from deployments.transport.zmq.key import FILE, LaneKey, LaneKeyError, load_key, make_key
from deployments.transport.zmq.server import LaneServer

NODE = "node-1"


@pytest.fixture
def key(tmp_path):
    make_key(tmp_path)
    return load_key(tmp_path)


class FakeReplica:
    """Answers with its input, doubled; `hold` keeps it from answering."""

    def __init__(self, key):
        self.hold, self.begun, self.cancelled, self.calls = asyncio.Event(), 0, 0, 0
        self.hold.set()
        self.server = LaneServer({"run": self.run, "fail": self.fail}, key, "127.0.0.1")

    async def run(self, batch, resized):
        self.begun += 1
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.calls += 1
        return Answer(np.arange(len(batch)), 2 * batch, np.zeros(1), np.zeros(1))

    async def fail(self):
        raise ValueError("broken")


@asynccontextmanager
async def connected(key, count=1, client_key=None, node_id=NODE):
    """A lane to `count` replicas."""
    replicas = [FakeReplica(key) for _ in range(count)]

    async def addresses():
        return [LaneAddress(r.server.address, node_id) for r in replicas]

    lane = Lane(addresses, client_key or key, NODE)
    lane.start()
    try:
        if client_key is None and node_id == NODE:
            await until(lambda: lane.connected == count)
        yield lane, replicas
    finally:
        lane.close()
        for replica in replicas:
            replica.server.close()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


BATCH = np.ones((2, 3), np.float16)


def test_an_answer_comes_back_whole(key):
    async def run():
        async with connected(key) as (lane, _):
            return await lane.call("run", BATCH, False)

    answer = asyncio.run(run())
    assert isinstance(answer, Answer)
    assert answer.class_ids.tolist() == [0, 1]
    assert np.array_equal(answer.probabilities, 2 * BATCH)


def test_many_at_once_get_their_own_answers(key):
    async def run():
        async with connected(key, 2) as (lane, replicas):
            batches = [np.full((1, 4), i, np.int64) for i in range(100)]
            answers = await asyncio.gather(*(lane.call("run", b, False) for b in batches))
            return answers, [r.calls for r in replicas]

    answers, calls = asyncio.run(run())
    assert [a.probabilities[0, 0] for a in answers] == [2 * i for i in range(100)]
    assert min(calls) > 20  # the less busy of two is asked


def test_a_method_that_fails_or_is_not_there_is_lost_and_the_next_call_is_not(key):
    async def run():
        async with connected(key) as (lane, _):
            for method in ("fail", "close"):
                with pytest.raises(LaneLost, match=method):
                    await lane.call(method)
            return await lane.call("run", BATCH, False)

    assert asyncio.run(run()).class_ids.tolist() == [0, 1]


def test_a_replica_that_goes_loses_what_was_in_flight_at_once(key):
    async def run():
        async with connected(key) as (lane, replicas):
            replicas[0].hold.clear()
            waiting = asyncio.create_task(lane.call("run", BATCH, False))
            await until(lambda: replicas[0].begun)
            replicas[0].server.close()
            with pytest.raises(LaneLost, match="broke"):
                async with asyncio.timeout(5):
                    await waiting
            assert lane.connected == 0
            with pytest.raises(LaneLost, match="no replica"):
                await lane.call("run", BATCH, False)

    asyncio.run(run())


def test_a_replica_that_comes_later_is_found(key, monkeypatch):
    monkeypatch.setattr(client, "REFRESH_S", 0.05)

    async def run():
        async with connected(key) as (lane, replicas):
            replicas.append(FakeReplica(key))
            await until(lambda: lane.connected == 2)
            replicas.pop(0).server.close()
            await until(lambda: lane.connected == 1)
            return await lane.call("run", BATCH, False)

    assert asyncio.run(run()).class_ids.tolist() == [0, 1]


def test_no_answer_in_time_is_lost(key, monkeypatch):
    monkeypatch.setattr(client, "ANSWER_S", 0.05)

    async def run():
        async with connected(key) as (lane, replicas):
            replicas[0].hold.clear()
            with pytest.raises(LaneLost, match="no answer"):
                await lane.call("run", BATCH, False)

    asyncio.run(run())


def test_what_is_in_flight_is_bounded(key, monkeypatch):
    monkeypatch.setattr(client, "MAX_IN_FLIGHT", 2)

    async def run():
        async with connected(key) as (lane, replicas):
            replicas[0].hold.clear()
            waiting = [asyncio.create_task(lane.call("run", BATCH, False)) for _ in range(2)]
            await until(lambda: replicas[0].begun == 2)
            with pytest.raises(LaneLost, match="no replica"):
                await lane.call("run", BATCH, False)
            replicas[0].hold.set()
            return await asyncio.gather(*waiting)

    assert len(asyncio.run(run())) == 2


def test_a_caller_that_leaves_has_the_work_dropped(key):
    async def run():
        async with connected(key) as (lane, replicas):
            replicas[0].hold.clear()
            waiting = asyncio.create_task(lane.call("run", BATCH, False))
            await until(lambda: replicas[0].begun)
            waiting.cancel()
            await until(lambda: replicas[0].cancelled)

    asyncio.run(run())


def test_a_client_with_another_key_is_not_admitted(key, tmp_path):
    """It even knows the servers' public key."""
    public, secret = zmq.curve_keypair()

    async def run():
        async with connected(key) as (lane, replicas):
            socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
            socket.linger = 0
            socket.curve_serverkey = key.public
            socket.curve_publickey, socket.curve_secretkey = public, secret
            socket.connect(replicas[0].server.address)
            await socket.send_multipart([b"1", b"run", b"[]"])
            assert not await socket.poll(300)
            socket.close()
            assert replicas[0].begun == 0
            return await lane.call("run", BATCH, False)

    assert asyncio.run(run()).class_ids.tolist() == [0, 1]


def test_garbage_from_a_peer_does_no_harm(key):
    async def run():
        async with connected(key) as (lane, _):
            (line,) = lane._lines.values()
            for frames in ([b""], [b"1", b"run"], [b"1", b"\xff"], [b"1", b"run", b"{", b""]):
                line._wire.send(frames)
            return await lane.call("run", BATCH, False)

    assert asyncio.run(run()).class_ids.tolist() == [0, 1]


def test_an_address_on_another_nodes_loopback_is_not_used(key):
    async def run():
        async with connected(key, node_id="node-2") as (lane, _):
            await asyncio.sleep(0.1)
            return lane.connected

    assert asyncio.run(run()) == 0


def test_the_key_is_made_once_for_the_owner_alone_and_a_damaged_one_is_named(tmp_path):
    make_key(tmp_path)
    first = load_key(tmp_path)
    make_key(tmp_path)
    assert load_key(tmp_path) == first and isinstance(first, LaneKey)
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(LaneKeyError, match="delete it"):
        load_key(tmp_path)
