"""Processes of all kinds are killed under load, and configurations that fail or change are
deployed: what was accepted is answered once and rightly, and all is there again by itself.

`python -m workload chaos` does the first for as long as one likes.
"""

import threading

import numpy as np
import pytest

from cache_models.network.base_dnn import load
from tests.e2e.conftest import cold_application
from tests.e2e.server import MARK, wait_until
from tests.tiny import images
from workload.chaos.killer import Killer
from workload.chaos.processes import HAPROXY, Processes
from workload.chaos.run import chaos
from workload.client.answers import Answers
from workload.client.client import send
from workload.client.truth import base_answers
from workload.serving import is_ready
from workload.traffic.arrivals import fixed

KINDS = ("partition", "lookup", "router", "trainer", "proxy", "controller")
RATE_PER_S = 10


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    found = cold_application("tests.tiny:tiny", tmp_path_factory.mktemp("chaos"))
    found["args"]["mode"] = "shadow"  # so that lookups are asked, and the base DNN answers
    found["deployments"] = [
        {"name": name, "num_replicas": 2, "ray_actor_options": {"num_cpus": 0.1}}
        for name in ("Router", "Partition0", "Lookup0")
    ]
    return found


@pytest.fixture(scope="module")
def url(server, application):
    with server.application(application) as url:
        yield url


@pytest.fixture(scope="module")
def processes(server, url):
    return Processes(MARK, server.environment[MARK])


@pytest.fixture(scope="module")
def asked():
    pictures = images(100)
    return pictures, base_answers(load("tests.tiny:tiny"), pictures)


def test_whoever_is_killed_nothing_is_lost_and_nothing_wrong(url, processes, asked):
    rows = chaos(url, processes, *asked, RATE_PER_S, 45, KINDS, every_s=5, seed=0)
    assert sum(row.kills for row in rows) >= 6
    for row in rows:
        assert not row.wrong and not row.lost, row
    wait_until(lambda: is_ready(url), "it is not ready again")


def test_without_haproxy_there_is_soon_another(url, processes):
    with Killer(processes, [HAPROXY], every_s=60, after_s=0, for_s=60, seed=0) as killer:
        wait_until(lambda: killer.kills and killer.kills[0].back_s, "nobody starts it again")
        wait_until(lambda: is_ready(url), "it is not ready again")


class Asked:
    """Requests during the block; `answers` is what came back."""

    def __init__(self, url: str, pictures: np.ndarray):
        self._url, self._pictures = url, pictures
        self._stop, self._thread = threading.Event(), threading.Thread(target=self._send)
        self.answers: list[Answers] = []

    def __enter__(self) -> "Asked":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        while not self._stop.is_set():
            due_s = fixed(len(self._pictures), RATE_PER_S)
            self.answers.append(send(self._url, self._pictures, due_s))

    def check(self, truth: np.ndarray) -> None:
        for answers in self.answers:
            assert not answers.errors
            assert (answers.class_ids == truth).all()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"store": "/nowhere/store"}, "/nowhere/store"),
        ({"model": "tests.tiny:tiniest"}, "was built for"),
        ({"activation_dtype": "int3"}, "activation_dtype"),
    ],
)
def test_an_update_that_fails_leaves_the_old_application_serving(
    server, application, url, asked, wrong, says
):
    args = application["args"]
    with Asked(url, asked[0]) as requests:
        application["args"] = args | wrong
        try:
            message = server.failed_update(application["name"])
        finally:
            application["args"] = args
            server.update(application["name"])
    assert says in message
    requests.check(asked[1])


def test_an_update_replaces_all_replicas_and_loses_nothing(server, application, url, asked):
    names = ("Router", "Partition0", "Lookup0")
    before = [server.replicas(application["name"], name) for name in names]
    with Asked(url, asked[0]) as requests:
        application["args"]["lookup_timeout_ms"] = 200
        server.update(application["name"])
        now = [server.replicas(application["name"], name) for name in names]
    assert all(not set(new) & set(old) for new, old in zip(now, before, strict=True))
    requests.check(asked[1])
