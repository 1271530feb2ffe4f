"""Real sockets on loopback: replies arrive, strangers do not, what is lost is known to be, and no
replica is given more than it may have."""

import asyncio
import time
from contextlib import asynccontextmanager

import numpy as np
import pytest
import zmq
import zmq.asyncio

from cache_models.network.stages import Answer, LookUp, Remember, Run
from deployments.transport.endpoint import MAX_IN_BACKGROUND, Endpoint
from deployments.transport.errors import Failed, Lost, Refused
from deployments.transport.replicas import Found
from deployments.transport.zmq import server as server_module
from deployments.transport.zmq.client import Client
from deployments.transport.zmq.server import Server

NODE = "node-1"
BATCH = np.ones((2, 3), np.float16)


class FakeReplica:
    """Answers with its input, doubled; `hold` keeps it from answering."""

    def __init__(self, key, limit=64):
        self.hold, self.begun, self.cancelled, self.replies = asyncio.Event(), 0, 0, 0
        self.most, self.until = 0, None
        self.hold.set()
        self.endpoint = Endpoint(self._answer, lambda: limit)
        self.server = self.endpoint._server = Server(self.endpoint.ask_now, key, "127.0.0.1")

    def found(self, node_id=NODE, limit=64):
        return Found(node_id, {"zmq": self.server.address}, limit)

    async def _answer(self, message, until):
        self.begun += 1
        self.most = max(self.most, self.endpoint.ongoing)
        self.until = until
        try:
            await self.hold.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if message.batch.dtype == bool:
            raise ValueError("broken")
        self.replies += 1
        batch = message.batch
        return Answer(np.arange(len(batch)), 2 * batch, np.zeros(1), np.zeros(1))


@asynccontextmanager
async def connected(key, count=1, node_id=NODE, limit=64, replicas_limit=64):
    """A client of `count` replicas.

    Args:
        limit: of one client at one replica.
    """
    replicas = [FakeReplica(key, replicas_limit) for _ in range(count)]
    client = Client(key, NODE)
    client.follow([replica.found(node_id, limit) for replica in replicas])
    try:
        if node_id == NODE:
            await until(lambda: client.connected == count)
        yield client, replicas
    finally:
        client.close()
        for replica in replicas:
            replica.server.close()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_a_reply_comes_back_whole(key):
    async def run():
        async with connected(key) as (client, _):
            return await client.ask(Run(BATCH))

    answer = asyncio.run(run())
    assert isinstance(answer, Answer)
    assert answer.class_ids.tolist() == [0, 1]
    assert np.array_equal(answer.probabilities, 2 * BATCH)


def test_many_at_once_get_their_own_replies(key):
    async def run():
        async with connected(key, 2) as (client, replicas):
            batches = [np.full((1, 4), i, np.int64) for i in range(100)]
            answers = await asyncio.gather(*(client.ask(Run(b)) for b in batches))
            return answers, [r.replies for r in replicas]

    answers, replies = asyncio.run(run())
    assert [a.probabilities[0, 0] for a in answers] == [2 * i for i in range(100)]
    assert min(replies) > 20  # the less busy of two is asked


def test_what_a_replica_raises_is_a_failure_and_the_next_question_is_answered(key):
    async def run():
        async with connected(key) as (client, replicas):
            with pytest.raises(Failed, match="broken"):
                await client.ask(Run(BATCH > 0))
            assert replicas[0].begun == 1
            return await client.ask(Run(BATCH))

    assert asyncio.run(run()).class_ids.tolist() == [0, 1]


def test_a_replica_that_goes_loses_what_was_in_flight_at_once(key):
    async def run():
        async with connected(key) as (client, replicas):
            replicas[0].hold.clear()
            waiting = asyncio.create_task(client.ask(Run(BATCH)))
            await until(lambda: replicas[0].begun)
            replicas[0].server.close()
            with pytest.raises(Lost, match="broke"):
                async with asyncio.timeout(5):
                    await waiting
            assert client.connected == 0
            with pytest.raises(Lost, match="no replica"):
                await client.ask(Run(BATCH))

    asyncio.run(run())


def test_a_replica_that_comes_is_asked_and_one_that_is_gone_is_not(key):
    async def run():
        async with connected(key) as (client, replicas):
            replicas.append(FakeReplica(key))
            client.follow([replica.found() for replica in replicas])
            await until(lambda: client.connected == 2)
            client.follow([replicas[1].found()])
            assert client.connected == 1
            await client.ask(Run(BATCH))
            return [replica.replies for replica in replicas]

    assert asyncio.run(run()) == [0, 1]


def test_one_that_is_not_there_hides_no_other(key):
    async def run():
        async with connected(key) as (client, replicas):
            nowhere = Found(NODE, {"zmq": "tcp://127.0.0.1:1"}, 64)
            without = Found(NODE, {}, 64)
            client.follow([nowhere, without, replicas[0].found()])
            await client.ask(Run(BATCH))
            return client.connected

    assert asyncio.run(run()) == 1


def test_a_replica_that_retires_still_answers_what_is_in_flight(key):
    async def run():
        async with connected(key) as (client, replicas):
            replicas[0].hold.clear()
            waiting = asyncio.create_task(client.ask(Run(BATCH)))
            await until(lambda: replicas[0].begun)
            client.follow([])
            replicas[0].hold.set()
            return await waiting

    assert asyncio.run(run()).class_ids.tolist() == [0, 1]


def test_a_replica_that_drains_answers_what_it_has_and_turns_away_what_comes(key):
    async def run():
        async with connected(key) as (client, replicas):
            replica = replicas[0]
            replica.hold.clear()
            waiting = asyncio.create_task(client.ask(Run(BATCH)))
            await until(lambda: replica.begun)
            drained = asyncio.create_task(replica.endpoint.drain())
            await asyncio.sleep(0)
            with pytest.raises(Lost, match="stop"):
                await client.ask(Run(BATCH))
            assert not drained.done()
            replica.hold.set()
            answer = await waiting
            async with asyncio.timeout(5):
                await drained
            return answer, replica.begun

    answer, begun = asyncio.run(run())
    assert answer.class_ids.tolist() == [0, 1]
    assert begun == 1


def test_a_replica_gets_no_more_than_it_may_have_and_the_others_wait_their_turn(key):
    async def run():
        async with connected(key, limit=2) as (client, replicas):
            replicas[0].hold.clear()
            waiting = [asyncio.create_task(client.ask(Run(BATCH))) for _ in range(5)]
            await until(lambda: replicas[0].begun == 2)
            await asyncio.sleep(0.05)
            assert replicas[0].begun == 2
            replicas[0].hold.set()
            return len(await asyncio.gather(*waiting)), replicas[0].most

    assert asyncio.run(run()) == (5, 2)


def test_what_other_routers_fill_refuses_and_the_request_keeps_its_turn(key):
    """Either client would give the replica as much as it may have alone."""

    async def run():
        async with connected(key, replicas_limit=2) as (client, replicas):
            other = Client(key, NODE)
            other.follow([replicas[0].found()])
            await until(lambda: other.connected == 1)
            replicas[0].hold.clear()
            asked = [asyncio.create_task(c.ask(Run(BATCH))) for c in [client, other] * 3]
            await until(lambda: replicas[0].begun == 2)
            await asyncio.sleep(0.05)
            assert replicas[0].begun == 2
            replicas[0].hold.set()
            answered = len(await asyncio.gather(*asked))
            other.close()
            return answered, replicas[0].most

    assert asyncio.run(run()) == (6, 2)


def test_more_than_may_wait_are_refused(key):
    async def run():
        async with connected(key, limit=1) as (client, replicas):
            client.limit_queue(1)
            replicas[0].hold.clear()
            waiting = [asyncio.create_task(client.ask(Run(BATCH))) for _ in range(2)]
            await until(lambda: replicas[0].begun == 1)
            with pytest.raises(Refused, match="1 requests wait"):
                await client.ask(Run(BATCH))
            replicas[0].hold.set()
            return len(await asyncio.gather(*waiting))

    assert asyncio.run(run()) == 2


def test_who_waits_for_room_is_not_left_behind_when_the_last_replica_goes(key):
    async def run():
        async with connected(key, limit=1) as (client, replicas):
            replicas[0].hold.clear()
            waiting = [asyncio.create_task(client.ask(Run(BATCH))) for _ in range(3)]
            await until(lambda: replicas[0].begun == 1)
            replicas[0].server.close()
            async with asyncio.timeout(5):
                return await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(error) for error in asyncio.run(run())] == [Lost] * 3


def test_the_time_that_is_left_travels_along(key):
    async def run():
        async with connected(key) as (client, replicas):
            await client.ask(Run(BATCH))
            assert replicas[0].until is None
            deadline = time.monotonic() + 5
            await client.ask(Run(BATCH), deadline)
            return replicas[0].until - deadline

    assert abs(asyncio.run(run())) < 1


def test_a_caller_that_leaves_has_the_work_dropped(key):
    async def run():
        async with connected(key, limit=1) as (client, replicas):
            replicas[0].hold.clear()
            waiting = [asyncio.create_task(client.ask(Run(BATCH))) for _ in range(2)]
            await until(lambda: replicas[0].begun)
            for task in waiting:  # in flight, and in the queue
                task.cancel()
            await until(lambda: replicas[0].cancelled)
            replicas[0].hold.set()
            await client.ask(Run(BATCH))
            return replicas[0].begun

    assert asyncio.run(run()) == 2


def test_a_client_with_another_key_is_not_admitted(key):
    """It even knows the servers' public key."""
    public, secret = zmq.curve_keypair()

    async def run():
        async with connected(key) as (client, replicas):
            socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
            socket.linger = 0
            socket.curve_serverkey = key.public
            socket.curve_publickey, socket.curve_secretkey = public, secret
            socket.connect(replicas[0].server.address)
            await socket.send_multipart([b"1", b"Run", b"[null]"])
            assert not await socket.poll(300)
            socket.close()
            assert replicas[0].begun == 0
            return await client.ask(Run(BATCH))

    assert asyncio.run(run()).class_ids.tolist() == [0, 1]


def test_garbage_from_a_peer_does_no_harm(key):
    async def run():
        async with connected(key) as (client, replicas):
            socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
            socket.linger = 0
            socket.curve_serverkey = key.public
            socket.curve_publickey, socket.curve_secretkey = key.public, key.secret
            socket.connect(replicas[0].server.address)
            for frames in ([b""], [b"1", b"Run"], [b"1", b"\xff"], [b"1", b"Run", b"{", b""]):
                await socket.send_multipart(frames)
            assert await socket.poll(5_000)
            socket.close()
            return await client.ask(Run(BATCH))

    assert asyncio.run(run()).class_ids.tolist() == [0, 1]


def test_an_address_on_another_nodes_loopback_is_not_used(key):
    async def run():
        async with connected(key, node_id="node-2") as (client, _):
            await asyncio.sleep(0.1)
            return client.connected

    assert asyncio.run(run()) == 0


def test_what_nobody_waits_for_takes_no_requests_place(key):
    async def run():
        async with connected(key, limit=1, replicas_limit=1) as (client, replicas):
            replica = replicas[0]
            replica.hold.clear()
            background = [
                asyncio.create_task(client.ask(Run(BATCH, background=True)))
                for _ in range(MAX_IN_BACKGROUND)
            ]
            await until(lambda: replica.begun == MAX_IN_BACKGROUND)
            with pytest.raises(Refused, match="run on"):
                await client.ask(Run(BATCH, background=True))
            waiting = asyncio.create_task(client.ask(Run(BATCH)))
            await until(lambda: replica.begun == MAX_IN_BACKGROUND + 1)
            replica.hold.set()
            return len(await asyncio.gather(waiting, *background)), replica.most

    assert asyncio.run(run()) == (MAX_IN_BACKGROUND + 1, 1)


def test_a_replica_that_retires_or_drains_loses_what_nobody_waits_for(key):
    async def run(end):
        async with connected(key) as (client, replicas):
            replicas[0].hold.clear()
            waiting = asyncio.create_task(client.ask(Run(BATCH, background=True)))
            await until(lambda: replicas[0].begun)
            async with asyncio.timeout(20):
                await end(client, replicas[0])
                with pytest.raises(Lost):
                    await waiting

    async def retire(client, replica):
        client.follow([])

    async def drain(client, replica):
        await replica.endpoint.drain()

    for end in (retire, drain):
        asyncio.run(run(end))


@pytest.mark.parametrize(
    "end",
    [
        lambda server: server._authenticator._AsyncioAuthenticator__task.cancel(),
        lambda server: server._wire._loop.remove_reader(server._wire._file),
        lambda server: server._wire.close(),
    ],
    ids=["who admits", "who reads", "the socket"],
)
def test_a_replica_that_does_not_answer_any_more_is_unhealthy(key, monkeypatch, end):
    async def run():
        async with connected(key) as (client, replicas):
            await replicas[0].endpoint.check_health()
            await client.ask(Run(BATCH))
            await replicas[0].endpoint.check_health()
            end(replicas[0].server)
            monkeypatch.setattr(server_module, "PING_S", 0.5)
            with pytest.raises(RuntimeError, match="does not answer by ZeroMQ any more"):
                await replicas[0].endpoint.check_health()

    asyncio.run(run())


def test_a_stream_meets_the_same_replica_whoever_asks_and_others_go_on_when_one_is_lost(key):
    """And what is to be remembered goes where it will be looked up."""
    streams = [f"stream-{i}" for i in range(40)]

    async def where(client, replicas):
        found = {}
        for stream in streams:
            before = [replica.begun for replica in replicas]
            await client.ask(LookUp(BATCH, 1, stream=stream))
            await client.ask(Remember(BATCH, np.zeros(2, int), 1, stream, 0.0))
            asked = [replica.begun - was for replica, was in zip(replicas, before, strict=True)]
            assert sorted(asked) == [0, 0, 2]
            found[stream] = asked.index(2)
        return found

    async def run():
        async with connected(key, 3) as (client, replicas):
            other = Client(key, NODE)
            other.follow([replica.found() for replica in reversed(replicas)])
            await until(lambda: other.connected == 3)
            mine, theirs = await where(client, replicas), await where(other, replicas)
            other.close()
            replicas[0].server.close()
            await until(lambda: client.connected == 2)
            rest = {}
            for stream in streams:
                before = [replica.begun for replica in replicas]
                await client.ask(LookUp(BATCH, 1, stream=stream))
                rest[stream] = next(
                    i
                    for i, (r, was) in enumerate(zip(replicas, before, strict=True))
                    if r.begun > was
                )
            return mine, theirs, rest

    mine, theirs, rest = asyncio.run(run())
    assert mine == theirs
    assert min(list(mine.values()).count(i) for i in range(3)) > 3
    assert all(rest[stream] == mine[stream] for stream in streams if mine[stream] != 0)


def test_a_stream_whose_replica_is_full_is_asked_elsewhere(key):
    async def run():
        async with connected(key, 2, limit=1) as (client, replicas):
            for replica in replicas:
                replica.hold.clear()
            asked = [
                asyncio.create_task(client.ask(LookUp(BATCH, 1, stream="a"))) for _ in range(2)
            ]
            await until(lambda: all(replica.begun for replica in replicas))
            for replica in replicas:
                replica.hold.set()
            await asyncio.gather(*asked)

    asyncio.run(run())
