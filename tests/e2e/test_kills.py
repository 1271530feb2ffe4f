"""Kills of the trainer and of lookup replicas at random moments of rounds, under load: no request
fails, one version is served everywhere again, and the store opens.

`GATI_KILLS=20 pytest -s tests/e2e/test_kills.py` kills more often and prints what it saw.
"""

import itertools
import os
import random
import signal
import threading
import time
from dataclasses import replace

import httpx
import pytest

from cache_models.build import cold_start
from cache_models.build.survey import survey
from cache_models.network.base_dnn import load
from cache_models.network.stages import INPUT
from cache_models.promise.promise import Limits
from cache_models.store.plan import HopCost
from cache_models.store.versions import Store
from tests.e2e.conftest import admin, shipped_application, stats
from tests.e2e.server import wait_until
from tests.tiny import images
from workload.client.protocols import png

KILLS = int(os.environ.get("GATI_KILLS", 2))
NAME = "kills"
EPSILON = 0.1
EVERYWHERE_S = 10.0
"""From when the process that was killed has been replaced."""
ROWS = 2
"""Few, in many requests: of each one row is a sample, and a round wants hundreds."""
SEEDS = itertools.count(1)
"""Of pictures that nobody has sent yet: neighbours that are alike count as one sample."""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return learning_store(tmp_path_factory.mktemp("kills") / "store")


def learning_store(folder) -> Store:
    """Of untrained caches, so that whatever a round learns is better; the base DNN seems slow."""
    store = Store(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cold_start, "survey", lambda *a: replace(survey(*a), base_ms=10_000.0))
        limits = Limits(max_disagreement=EPSILON, max_class_disagreement=0.3)
        cold_start.cold_start(load("tests.tiny:tiny"), store, limits, HopCost(), [INPUT])
    return store


@pytest.fixture(scope="module")
def url(server, store):
    application = shipped_application() | {"name": NAME, "route_prefix": f"/{NAME}"}
    application["args"] = {
        "name": "tiny",
        "model": "tests.tiny:tiny",
        "store": str(store.folder),
        "lookup_timeout_ms": 1000,
        "retraining": {"new_samples": 200, "min_interval_s": 0}
        | {"window": 2000, "kept_versions": 1000},
        "partition": {"threads": 1},
    }
    application["deployments"] = [
        {"name": name, "num_replicas": count, "ray_actor_options": {"num_cpus": 0.1}}
        | {"health_check_period_s": 1}  # so that a loss is soon noticed
        for name, count in {"Router": 2, "Partition0": 1, "Lookup0": 2}.items()
    ]
    with server.application(application) as url:
        yield url


class Load:
    """Batches, one after another, until the end of the block; `failed` says what came back else."""

    def __init__(self, url):
        self._url, self._stop = url, threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.asked, self.failed = 0, []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _ask(self):
        pictures = images(4000)
        while not self._stop.is_set():
            rows = [(self.asked * ROWS + i) % len(pictures) for i in range(ROWS)]
            batch = pictures[rows]
            tensor = {"name": "image", "shape": batch.shape, "datatype": "UINT8"}
            body = {"inputs": [tensor | {"data": batch.ravel().tolist()}]}
            try:  # a connection each, so that both routers get some
                answer = httpx.post(f"{self._url}/v2/models/tiny/infer", json=body, timeout=30)
                if answer.status_code != 200:
                    self.failed.append(answer.text)
            except httpx.HTTPError as error:
                self.failed.append(repr(error))
            self.asked += 1
            time.sleep(0.05)


def test_kills_in_rounds_cost_no_request_and_leave_one_version_everywhere(server, url, store):
    victims = [
        ("the trainer", lambda: server.trainer(NAME)),
        ("a lookup", lambda: server.replicas(NAME, "Lookup0")),
    ]
    rng, round_s = random.Random(0), 0.0
    with Load(url) as load:
        wait_until(lambda: store.current().number > 1, "the first caches come from the traffic")
        wait_until(lambda: same_everywhere(url, store), "the first caches are everywhere")
        for i in range(KILLS + 1):
            newest, start = max(store.versions()), time.monotonic()
            wait_until(lambda: ask_for_a_round(url), "the trainer takes orders")
            if i == 0:  # nobody is killed, to know how long a round takes
                wait_until(lambda n=newest: store.current().number > n, "a round publishes")
                round_s = time.monotonic() - start
                print(f"a round took {round_s:.1f} s")
                continue
            time.sleep(rng.uniform(0, round_s))  # at any moment of a round
            victim, living = victims[i % 2]
            before = living()
            os.kill(before[rng.choice(sorted(before))], signal.SIGKILL)
            wait_until(lambda now=living, b=before: renewed(now(), b), f"{victim} is replaced")
            wait_until(lambda: "trainer" not in stats(url)["guard"], "the trainer answers")
            ready = time.monotonic()
            wait_until(lambda: same_everywhere(url, store), "one version everywhere", EVERYWHERE_S)
            print(
                f"kill {i} of {victim}: replaced after {ready - start:.1f} s, version "
                f"{store.current().number} everywhere {time.monotonic() - ready:.1f} s later"
            )
    assert not load.failed, f"{len(load.failed)} of {load.asked}: {load.failed[:3]}"
    for number in store.versions():
        store.open(number).load(0)
    assert sum(r["published"] is not None for r in admin(url, "GET", "rounds").json()) >= 2


def ask_for_a_round(url) -> bool:
    """From the untrained version on, which any learned one improves."""
    answers = [
        admin(url, "POST", "rollback", json={"version": 1}),
        admin(url, "POST", "retrain"),
    ]
    return [answer.status_code for answer in answers] == [200, 202]


def same_everywhere(url, store) -> bool:
    """Whether routers, lookups and trainer all serve the store's current version."""
    current = store.current()
    untrained = current.plan.promise.threshold is None
    body = {png(image) for image in images(12, seed=next(SEEDS))}
    # a connection each, so that all routers and lookups get some
    answers = [httpx.post(f"{url}/predict", content=b, timeout=30).json() for b in body]
    hits = {a["cache_version"] for a in answers} - {None}
    told = {stats(url)["cache_version"] for _ in range(4)}
    versions = admin(url, "GET", "versions")
    serving = {v["cache_version"] for v in versions.json() if v["serving"]} if versions else set()
    expected = set() if untrained else {current.number}
    return (hits, told, serving) == (expected, {current.number}, {current.number})


def renewed(now, before) -> bool:
    """Whether as many live as before, of whom somebody is new."""
    return len(now) == len(before) and bool(now.keys() - before.keys())
