"""Large arrays by the lane: they lie where they were made, and whoever asks never notices."""

import asyncio

import numpy as np
import pytest

from cache_models.network.stages import Activation, Run
from deployments.transport import shared_memory
from deployments.transport.errors import Gone, Unshared
from deployments.transport.shared_memory import Lent, Ring
from deployments.transport.zmq.client import Client
from tests.deployments.transport.zmq.test_client import NODE, FakeReplica, until

LARGE = np.arange(100_000, dtype=np.float32).reshape(2, -1)
ROOM = 2**22


class Hidden(FakeReplica):
    """Hands on what it was given, one more."""

    def __init__(self, key, limit=64):
        super().__init__(key, limit)
        self.server._ring = Ring(ROOM, 10.0)
        self.given = []

    async def _answer(self, message, until):
        self.given.append(message.batch)
        await self.hold.wait()
        return Activation(message.batch[:, :2], message.batch + 1)


def walk(key, asked, node_id=NODE, ring=None, limit=64):
    """What `asked(first, second, replicas)` returns, of clients of a replica each."""

    async def run():
        replicas = [Hidden(key, limit) for _ in range(2)]
        clients = [Client(key, node_id, ring) for _ in replicas]
        for client, replica in zip(clients, replicas, strict=True):
            client.follow([replica.found(node_id)])
        try:
            await until(lambda: all(client.connected for client in clients))
            return await asked(*clients, replicas)
        finally:
            for client, replica in zip(clients, replicas, strict=True):
                client.close()
                replica.server.close()

    return asyncio.run(run())


async def through_both(first, second, replicas):
    between = (await first.ask(Run(LARGE))).activation
    return between, (await second.ask(Run(between))).activation, replicas[1].given[0]


def test_an_activation_stays_where_it_was_made_until_the_next_partition_reads_it(key):
    between, out, given = walk(key, through_both, ring=Ring(ROOM, 10.0))
    assert isinstance(between, Lent) and isinstance(given, np.ndarray)
    assert np.array_equal(given, LARGE + 1) and np.array_equal(np.asarray(out), LARGE + 2)


def test_without_shared_memory_it_goes_by_the_socket(key):
    between, out, _ = walk(key, through_both)
    assert isinstance(between, np.ndarray) and np.array_equal(out, LARGE + 2)


def test_an_activation_outlives_its_partition(key):
    async def asked(first, second, replicas):
        between = (await first.ask(Run(LARGE))).activation
        replicas[0].server.close()
        return (await second.ask(Run(between))).activation

    assert np.array_equal(np.asarray(walk(key, asked, ring=Ring(ROOM, 10.0))), LARGE + 2)


def test_what_waits_for_a_place_is_not_lent_meanwhile(key):
    async def asked(first, second, replicas):
        between = (await first.ask(Run(LARGE))).activation
        replicas[1].hold.clear()
        before = asyncio.create_task(second.ask(Run(LARGE)))
        await until(lambda: replicas[1].given)
        waiting = asyncio.create_task(second.ask(Run(between)))
        await asyncio.sleep(0.05)
        replicas[0].server._ring._hold_s = 0.0
        for slot in list(replicas[0].server._ring._held):
            replicas[0].server._ring._held[slot] = (64, 128, 0.0)  # its time is over
        await first.ask(Run(LARGE * 0))  # and it is overwritten
        replicas[1].hold.set()
        await before
        return (await waiting).activation

    out = walk(key, asked, ring=Ring(ROOM, 10.0), limit=1)
    assert np.array_equal(np.asarray(out), LARGE + 2)


def test_what_has_been_written_over_is_gone_for_good(key):
    async def asked(first, second, replicas):
        between = (await first.ask(Run(LARGE))).activation
        replicas[0].server._ring._held.clear()  # the time of all is over
        replicas[0].server._ring._end = 64
        await first.ask(Run(LARGE * 0))
        with pytest.raises(Gone):
            await second.ask(Run(between))
        return (await first.ask(Run(LARGE))).activation

    assert np.array_equal(np.asarray(walk(key, asked, ring=Ring(ROOM, 10.0))), LARGE + 1)


def test_who_cannot_see_the_others_memory_is_sent_all_by_the_socket(key, monkeypatch):
    def refuse(slot):
        raise Unshared("not here")

    async def asked(first, second, replicas):
        monkeypatch.setattr(shared_memory, "_map", refuse)
        shared_memory._rings.clear()
        with pytest.raises(Unshared):  # who asked tries once more, by handle
            await first.ask(Run(LARGE))
        return (await first.ask(Run(LARGE))).activation

    out = walk(key, asked, ring=Ring(ROOM, 10.0))
    assert isinstance(out, np.ndarray) and np.array_equal(out, LARGE + 1)
