"""An application whose replicas lie on two nodes, each with a disk of its own, and a store that is
neither's: versions reach both, and the trainer goes on where its node is lost."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest

from cache_models.bench.evaluation import base_answers
from cache_models.follow.elsewhere import read_told
from cache_models.network.base_dnn import load
from cache_models.store.remote import Remote
from cache_models.store.versions import Store
from tests.e2e.conftest import admin, stats
from tests.e2e.server import ROOT, Server, wait_until, without_address
from tests.e2e.test_kills import EPSILON, Load, learning_store, same_everywhere
from tests.tiny import images
from workload.client.protocols import png
from workload.compare.systems.processes import free_ports

NAME = "two-nodes"


class Nodes(Server):
    """Serves on two nodes beside a head without processors; by Serve's own proxy, since both nodes'
    HAProxy would want the same ports of this one machine.

    Attributes:
        homes: of the nodes' own files, by node id.
    """

    def __init__(self, folder: Path):
        super().__init__(folder)
        self._joins = True
        self._config["proxy_location"] = "HeadOnly"
        self.environment |= dict.fromkeys(
            ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED"), "0"
        )
        ports = self.address.rpartition(":")[2], str(free_ports(1)[0])
        with open(folder / "nodes.log", "w") as log:
            self._nodes = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.nodes", *ports, self._home, "2"],
                cwd=ROOT,
                env=without_address(self.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        told = self._nodes.stdout.readline()
        assert told, (folder / "nodes.log").read_text()[-4000:]
        self.homes = {
            node: Path(self._home) / f"node-{i}" for i, node in enumerate(json.loads(told))
        }

    def lose(self, node: str) -> None:
        """A node, with all that runs there."""
        self._nodes.stdin.write(f"{node}\n")
        self._nodes.stdin.flush()
        assert json.loads(self._nodes.stdout.readline()) == node

    def node_of_trainer(self) -> str | None:
        return next(iter(self._living("Trainer", f"::{NAME}::", "node_id").values()), None)

    def stop(self) -> None:
        try:
            self._nodes.stdin.close()
        finally:
            super().stop()
            self._nodes.wait(30)
            self._nodes.stdout.close()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    server = Nodes(tmp_path_factory.mktemp("nodes"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of untrained caches, so that whatever a round learns is better."""
    return learning_store(tmp_path_factory.mktemp("shared") / "store").folder


def application(store: str) -> dict:
    return {
        "name": NAME,
        "route_prefix": f"/{NAME}",
        "import_path": "deployments.app:build",
        "args": {
            "name": "tiny",
            "model": "tests.tiny:tiny",
            "store": store,
            "lookup_timeout_ms": 5000,
            "sampling": {"max_share": 1.0},
            "retraining": {"new_samples": 200, "min_interval_s": 0, "kept_versions": 1000},
            "partition": {"threads": 1},
        },
        "deployments": [
            {"name": name, "num_replicas": 2, "ray_actor_options": {"num_cpus": 0.1}}
            | {"max_replicas_per_node": 1, "health_check_period_s": 1}
            for name in ("Router", "Partition0", "Lookup0")
        ],
    }


def wrong(url: str, hits: bool = False) -> np.ndarray:
    """Which of 300 answers are not the base DNN's.

    Args:
        hits: whether caches must give some.
    """
    pictures = images(300, seed=77)
    with httpx.Client(timeout=30) as client:
        told = [client.post(f"{url}/predict", content=png(image)).json() for image in pictures]
    assert not hits or any(answer["exit"] != "base" for answer in told)
    base = base_answers(load("tests.tiny:tiny"), pictures)
    return np.array([answer["class_id"] for answer in told]) != base


def everywhere(nodes: Nodes, store: Store, number: int) -> bool:
    """Whether every node has a copy of a version."""
    of = hashlib.sha256(f"file://{store.folder}".encode()).hexdigest()[:16]
    copies = [home / "mirrors" / of / "versions" / str(number) for home in nodes.homes.values()]
    return all(copy.is_dir() for copy in copies)


def served_everywhere(nodes: Nodes, url: str, store: Store, number: int) -> None:
    assert store.current().number == number
    wait_until(lambda: same_everywhere(url, store), f"version {number} is everywhere")
    wait_until(lambda: everywhere(nodes, store, number), f"a node has no copy of {number}")


def settled(store: Store) -> int:
    """The current version, when no round publishes another any more."""
    seen = [0]

    def is_the_same() -> bool:
        seen.append(store.current().number)
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_until(is_the_same, "rounds publish though the version is pinned")
    return seen[-1]


def kept_rounds(shared: Path) -> int:
    """Of retraining, in the copy of the trainer's file that the store has."""
    copy = read_told(Remote(f"file://{shared}")).copy_of_file
    with closing(sqlite3.connect(f"file:{shared / copy.name}?immutable=1", uri=True)) as db:
        return db.execute("SELECT count(*) FROM rounds").fetchone()[0]


def test_a_folder_that_nodes_share_serves_both(nodes, folder, tmp_path):
    store = Store(shutil.copytree(folder, tmp_path / "shared"))
    first = store.current()
    store.publish(first.plan, {first.plan.caches[0].file: first.load(0)})
    with nodes.application(application(str(store.folder))) as url:
        served_everywhere(nodes, url, store, 2)
        assert admin(url, "POST", "rollback", json={"version": 1}).status_code == 200
        served_everywhere(nodes, url, store, 1)
        assert not wrong(url).any()  # these caches have learned nothing


def test_what_is_learned_reaches_both_nodes_and_outlives_its_trainer(nodes, folder, tmp_path):
    shared = Path(shutil.copytree(folder, tmp_path / "shared"))
    store = Store(shared)
    with nodes.application(application(f"file://{shared}")) as url:
        with Load(url) as load:
            wait_until(lambda: store.current().number > 1, "caches come from the traffic", 240)
            admin(url, "POST", "pin", json={"pinned": True})
        assert not load.failed, load.failed[:3]
        learned = settled(store)
        served_everywhere(nodes, url, store, learned)
        assert wrong(url, hits=True).mean() <= 2 * EPSILON  # of so few, more would be a miracle
        for number in (1, learned):
            assert admin(url, "POST", "rollback", json={"version": number}).status_code == 200
            served_everywhere(nodes, url, store, number)

        rounds = len(admin(url, "GET", "rounds").json())
        wait_until(lambda: kept_rounds(shared) == rounds, "a copy of the trainer's file")
        lost = nodes.node_of_trainer()
        nodes.lose(lost)
        wait_until(lambda: nodes.node_of_trainer() not in (None, lost), "no other trainer", 180)
        wait_until(lambda: "trainer" not in stats(url)["guard"], "the trainer answers")
        now = stats(url)
        assert now["pinned"] and now["retraining"]["stored_samples"] > 0
        assert len(admin(url, "GET", "rounds").json()) == rounds
        assert wrong(url).mean() <= 2 * EPSILON
