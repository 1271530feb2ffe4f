"""What Serve tells of replicas reaches those who follow it, and an error is only a pause."""

import asyncio
from types import SimpleNamespace

from ray.serve._private.long_poll import LongPollNamespace, LongPollState

from deployments.transport import replicas
from deployments.transport.replicas import Found

TARGETS, CONFIG = LongPollNamespace.DEPLOYMENT_TARGETS, LongPollNamespace.DEPLOYMENT_CONFIG


class Follower:
    def __init__(self):
        self.told = []

    def follow(self, found):
        self.told.append(found)

    def limit_queue(self, most):
        self.told.append(most)


class Controller:
    """Tells what it is given, then waits for ever."""

    def __init__(self, *tells):
        self.tells, self.asked = list(tells), []
        self.listen_for_change = SimpleNamespace(remote=self._listen)

    async def _listen(self, seen):
        self.asked.append(dict(seen))
        if not self.tells:
            await asyncio.Event().wait()
        tells = self.tells.pop(0)
        if isinstance(tells, Exception):
            raise tells
        return tells


def update(snapshot_id, **value):
    return SimpleNamespace(snapshot_id=snapshot_id, object_snapshot=SimpleNamespace(**value))


def running(node_id):
    replica = SimpleNamespace(
        node_id=node_id, replica_metadata={"zmq": "tcp://…"}, max_ongoing_requests=64
    )
    return update(5, running_replicas=[replica])


def test_each_follower_is_told_of_its_deployment_also_after_errors(monkeypatch):
    controller = Controller(
        {(TARGETS, "a"): running("n1"), (CONFIG, "b"): update(7, max_queued_requests=9)},
        LongPollState.TIME_OUT,
        ConnectionError("gone"),
        {(TARGETS, "b"): running("n2")},
    )
    monkeypatch.setattr(replicas.ray, "get_actor", lambda *_, **__: controller)
    monkeypatch.setattr(replicas, "RETRY_S", 0.01)
    followers = Follower(), Follower()

    async def run():
        handles = [SimpleNamespace(deployment_id=name) for name in "ab"]
        task = replicas.begin(list(zip(handles, followers, strict=True)))
        async with asyncio.timeout(10):
            while len(controller.asked) < 5:
                await asyncio.sleep(0.005)
        task.cancel()

    asyncio.run(run())
    found = {name: Found(name, {"zmq": "tcp://…"}, 64) for name in ("n1", "n2")}
    assert followers[0].told == [[found["n1"]]]
    assert followers[1].told == [9, [found["n2"]]]
    assert controller.asked[1] == controller.asked[2]
    assert controller.asked[1][(TARGETS, "a")] == 5 and controller.asked[0][(TARGETS, "a")] == -1
    assert controller.asked[3][(TARGETS, "a")] == -1  # all of it again, after an error
