"""What is promised of a call holds by ZeroMQ and by Serve's handle alike, in a real Serve."""

import os
import signal
import threading
import time

import pytest
import ray
from ray import serve

from deployments.config import LaneArgs
from deployments.transport.zmq.key import make_key
from tests.e2e.conftest import ROOT
from tests.workers import ANSWER, BLOCK, END, HOLD, LARGE, RAISE, Asker, Folder, workers

WAIT_S = 60


@pytest.fixture(scope="module")
def running():
    """A Ray of this module's own, without HTTP."""
    variables = {
        "PYTHONPATH": str(ROOT),
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.01",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        serve.start(proxy_location="Disabled")
        yield
        serve.shutdown()
        ray.shutdown()


class Served:
    """A worker, and somebody who asks it by one way."""

    def __init__(self, folder, way):
        self._path, self.way, self._lane = folder, way, LaneArgs(enabled=way == "lane")
        make_key(folder)
        self.folder = Folder(folder)
        self.folder.clear()
        self.deploy()
        asker = Asker.bind(f"{way}-workers", self._lane, str(folder))
        self._asker = serve.run(asker, name=way, route_prefix=None)
        self.found()

    def deploy(self):
        """A new worker, in the place of one that runs."""
        application = workers(self._path, self._lane)
        serve.run(application, name=f"{self.way}-workers", route_prefix=None)

    def found(self):
        if self.way == "lane":
            until(lambda: self.by_way()["connected"])

    def close(self):
        for name in (self.way, f"{self.way}-workers"):
            serve.delete(name)

    def ask(self, *args):
        return self._asker.ask.remote(*args)

    def by_way(self):
        return self._asker.by_way.remote().result(timeout_s=WAIT_S)


@pytest.fixture(scope="module", params=["lane", "handle"])
def served(request, running, tmp_path_factory):
    served = Served(tmp_path_factory.mktemp(request.param), request.param)
    yield served
    served.close()


@pytest.fixture(autouse=True)
def fresh(served):
    served.folder.clear()
    yield
    served.folder.go.touch()


def until(condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def results(responses):
    return [response.result(timeout_s=WAIT_S) for response in responses]


def test_questions_go_the_way_that_is_set(served):
    before = served.by_way()
    assert results([served.ask(ANSWER), served.ask(ANSWER, None, LARGE)]) == ["answered"] * 2
    after = served.by_way()
    assert {way: after[way] - before[way] for way in ("lane", "handle")} == (
        {"lane": 0, "handle": 0} | {served.way: 2}
    )


@pytest.mark.parametrize("size", [1, LARGE])
def test_a_request_that_makes_a_replica_raise_is_computed_once(served, size):
    assert served.ask(RAISE, None, size).result(timeout_s=WAIT_S) == "Failed"
    assert served.folder.count("compute", RAISE) == 1
    assert served.ask(ANSWER).result(timeout_s=WAIT_S) == "answered"


def test_a_replica_has_what_it_may_some_wait_and_the_rest_are_refused(served):
    asked = []

    def refused():
        asked.append(served.ask(HOLD))
        time.sleep(0.1)  # one after another: Serve refuses more of those that come at once
        return len(asked) > 5

    until(refused)
    served.folder.go.touch()
    came = results(asked)
    assert set(came) == {"answered", "Refused"} and came[:3] == ["answered"] * 3
    assert 3 <= came.count("answered") <= 4
    inside = most = 0
    for _, what, _ in served.folder.read():
        inside += {"enter": 1, "leave": -1}.get(what, 0)
        most = max(most, inside)
    assert most == 2


def test_what_nobody_waits_for_arrives_as_that(served):
    assert served.ask(ANSWER, None, 1, True).result(timeout_s=WAIT_S) == "answered"
    assert served.folder.count("aside", ANSWER) == 1


def test_what_nobody_wants_any_more_is_not_computed(served):
    block = served.ask(BLOCK)
    until(lambda: served.folder.count("compute", BLOCK))
    assert served.ask(ANSWER, 0.2).result(timeout_s=WAIT_S) == "Lost"
    served.folder.go.touch()
    assert block.result(timeout_s=WAIT_S) == "answered"
    assert served.ask(HOLD).result(timeout_s=WAIT_S) == "answered"
    assert served.folder.count("compute", ANSWER) == 0


def test_a_caller_that_leaves_has_the_work_dropped(served):
    block = served.ask(BLOCK)
    until(lambda: served.folder.count("compute", BLOCK))
    leaves = served.ask(ANSWER)
    until(lambda: served.folder.count("enter", ANSWER))
    leaves.cancel()
    until(lambda: served.folder.count("leave", ANSWER))
    served.folder.go.touch()
    assert block.result(timeout_s=WAIT_S) == "answered"
    assert served.folder.count("compute", ANSWER) == 0


def test_a_replica_that_is_to_stop_answers_what_it_has_and_a_new_one_the_rest(served):
    held = [served.ask(HOLD) for _ in range(2)]
    until(lambda: served.folder.count("enter", HOLD) == 2)
    old = served.folder.processes("enter", HOLD)
    deploying = threading.Thread(target=served.deploy)
    deploying.start()
    # One that Serve sends to the old one before it knows better waits there for the held ones.
    begun, asked = time.monotonic(), []

    def others_answer():
        if time.monotonic() > begun + 10 * len(asked):  # one in ten seconds
            asked.append(served.ask(ANSWER))
        return served.folder.processes("compute", ANSWER) - old

    until(others_answer)
    served.folder.go.touch()
    assert results(held + asked) == ["answered"] * len(held + asked)
    deploying.join(WAIT_S)
    assert served.folder.processes("leave", HOLD) == old
    until(lambda: not any(alive(process) for process in old))
    assert served.ask(ANSWER).result(timeout_s=WAIT_S) == "answered"


def test_what_a_replica_takes_with_it_is_asked_once_more(served):
    served.found()
    held = served.ask(HOLD)
    until(lambda: served.folder.count("enter", HOLD))
    (process,) = served.folder.processes("enter", HOLD)
    os.kill(process, signal.SIGKILL)
    until(lambda: served.folder.count("enter", HOLD) == 2)
    served.folder.go.touch()
    assert held.result(timeout_s=WAIT_S) == "answered"
    assert len(served.folder.processes("enter", HOLD)) == 2


def test_a_replica_whose_thread_has_ended_is_replaced(served):
    served.found()
    assert served.ask(END).result(timeout_s=WAIT_S) == "Lost"
    assert served.ask(ANSWER).result(timeout_s=WAIT_S) == "Lost"
    until(lambda: served.ask(ANSWER).result(timeout_s=WAIT_S) == "answered")
    assert not served.folder.processes("compute", ANSWER) & served.folder.processes("enter", END)


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
