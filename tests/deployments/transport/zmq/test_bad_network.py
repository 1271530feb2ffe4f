"""Between a client and its replicas a network that delays, holds back, cuts, alters and reorders
what travels, as toxiproxy does: no reply is another's or an altered one, and once the network is
well again, everything is answered."""

import asyncio
import itertools
import random
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from cache_models.network.stages import Run
from deployments.transport.errors import Lost, PlaceError
from deployments.transport.replicas import Found
from deployments.transport.zmq.client import Client
from deployments.transport.zmq.key import load_key, make_key
from tests.deployments.transport.zmq.test_client import NODE, FakeReplica, until

BEFALLEN, DEADLINE_S, HELD_S = 20, 0.5, 0.3
NUMBERS, LARGE = itertools.count(), -1
"""By which questions are told from each other."""
TOXINS = ("delay", "hold", "cut", "alter", "reorder")


class BadNetwork:
    """A proxy of TCP to one address.

    Args:
        toxins: each as likely as the others to befall a part of what travels.

    Attributes:
        share: of the parts that one befalls.
        befallen: parts.
    """

    def __init__(self, upstream: str, toxins, seed: int):
        self._host, port = upstream.removeprefix("tcp://").rsplit(":", 1)
        self._port, self._toxins, self._random = int(port), toxins, random.Random(seed)
        self.share, self.befallen = 0.0, 0
        self._pumps: set[asyncio.Task] = set()

    async def start(self) -> str:
        """The address to connect to instead."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self) -> None:
        """Every connection there is."""
        for pump in self._pumps:
            pump.cancel()

    async def _connected(self, reader, writer) -> None:
        there, back = await asyncio.open_connection(self._host, self._port)
        for source, sink in ((reader, back), (there, writer)):
            pump = asyncio.create_task(self._pump(source, sink, (writer, back)))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source, sink, both) -> None:
        try:
            while part := await source.read(2048):
                if self._random.random() < self.share:
                    self.befallen += 1
                    toxin = self._random.choice(self._toxins)
                    if toxin == "cut":
                        return
                    if toxin == "reorder":
                        with suppress(TimeoutError):
                            async with asyncio.timeout(HELD_S):
                                part = await source.read(2048) + part
                    if toxin == "alter":
                        place = self._random.randrange(len(part))
                        part = part[:place] + bytes([part[place] ^ 1]) + part[place + 1 :]
                    if toxin in ("delay", "hold"):
                        await asyncio.sleep(
                            HELD_S if toxin == "hold" else self._random.random() / 50
                        )
                sink.write(part)
                await sink.drain()
        except OSError:  # the other direction was cut
            pass
        finally:
            for writer in both:
                writer.close()


class Recording(FakeReplica):
    """`seen` counts what arrived, by the first number in it."""

    def __init__(self, key):
        self.seen = Counter()
        super().__init__(key)

    async def _answer(self, message, until):
        self.seen[int(message.batch[0, 0])] += 1
        return await super()._answer(message, until)


@asynccontextmanager
async def badly_connected(folder, toxins, seed: int):
    """A client of two replicas, each behind a network of its own."""
    make_key(folder)
    key = load_key(folder)
    replicas = [Recording(key) for _ in range(2)]
    networks = [BadNetwork(r.server.address, toxins, seed + i) for i, r in enumerate(replicas)]
    client = Client(key, NODE)
    try:
        client.follow([Found(NODE, {"zmq": await network.start()}, 64) for network in networks])
        await until(lambda: client.connected == 2)
        yield client, replicas, networks
    finally:
        client.close()
        for replica in replicas:
            replica.server.close()
        for network in networks:
            await network.stop()


async def ten(client: Client, deadline_s: float) -> list[bool]:
    """Which of ten questions were answered."""
    return await asyncio.gather(*(asked(client, next(NUMBERS), deadline_s) for _ in range(10)))


async def asked(client: Client, number: int, deadline_s: float) -> bool:
    """Whether there was a reply; it is the right one."""
    batch = np.full((1 + number % 3, 50), number, np.float32)
    try:
        async with asyncio.timeout(deadline_s):
            answer = await client.ask(Run(batch), time.monotonic() + deadline_s)
    except (PlaceError, TimeoutError):
        return False
    assert np.array_equal(answer.probabilities, 2 * batch)
    return True


async def all_answered(client: Client) -> None:
    """Returns once everything is."""
    async with asyncio.timeout(60):
        while True:
            await until(lambda: client.connected == 2)
            if all(await ten(client, 20)):
                return


@pytest.mark.parametrize("toxin", [*TOXINS, "all of them"])
def test_what_is_answered_is_right_and_the_lane_recovers(toxin, tmp_path):
    toxins = TOXINS if toxin == "all of them" else (toxin,)

    async def run():
        async with badly_connected(tmp_path, toxins, seed=7) as (client, replicas, networks):
            for network in networks:
                network.share = 0.1
            answered = []
            async with asyncio.timeout(100):
                while sum(network.befallen for network in networks) < BEFALLEN:
                    answered += await ten(client, DEADLINE_S)
                    await asyncio.sleep(0.01)
            for network in networks:
                network.share = 0.0
            await all_answered(client)
            return answered, sum((replica.seen for replica in replicas), Counter())

    answered, seen = asyncio.run(run())
    assert any(answered)
    assert max(seen.values()) == 1


def test_what_could_not_be_sent_is_lost_and_is_not_sent_later(tmp_path):
    """The caller has asked somebody else by then."""

    async def run():
        async with badly_connected(tmp_path, ("hold",), seed=7) as (client, replicas, networks):
            for network in networks:
                network.share = 1.0
            large = np.full((1, 8 * 2**20), LARGE, np.float32)  # more than buffers on the way take
            asking = [asyncio.create_task(client.ask(Run(large))) for _ in range(6)]
            await until(lambda: all(network.befallen for network in networks))
            for network in networks:
                network.share = 0.0
                network.cut()
            lost = await asyncio.gather(*asking, return_exceptions=True)
            await all_answered(client)
            return lost, sum(replica.seen[LARGE] for replica in replicas)

    lost, seen = asyncio.run(run())
    assert [type(error) for error in lost] == [Lost] * 6
    assert seen == 0


def test_nobody_connects_to_a_replica_that_is_gone_for_good(tmp_path):
    """Also not where the connection broke just before, and would have been tried again."""
    make_key(tmp_path)

    async def run():
        came = asyncio.Queue()

        async def hang_up(_, writer):
            came.put_nowait(None)
            writer.close()

        listening = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        client = Client(load_key(tmp_path), NODE)
        client.follow([Found(NODE, {"zmq": f"tcp://127.0.0.1:{port}"}, 64)])
        async with asyncio.timeout(20):
            for _ in range(3):
                await came.get()
        client.follow([])
        await asyncio.sleep(0.1)
        after = came.qsize()
        await asyncio.sleep(1)
        client.close()
        listening.close()
        return came.qsize() - after

    assert asyncio.run(run()) == 0
