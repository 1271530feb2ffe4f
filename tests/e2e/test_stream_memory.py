"""Caches that remember streams, served: what a stream's past is worth, and that it is its own."""

import os
import signal
import time

import httpx
import numpy as np
import pytest

from cache_models.bench.evaluation import base_answers
from cache_models.network.base_dnn import load
from tests.e2e.conftest import STREAMS, admin, stats
from tests.e2e.server import wait_until
from tests.remembering import LIMITS
from tests.streams import CAMERAS, scenes
from workload.client.protocols import png

MODEL = "tests.tiny:tiniest"
FRAMES = 60


@pytest.fixture(scope="module")
def url(server, remembering):
    with server.application(remembering) as url:
        wait_until(lambda: stats(url)["guard"]["caches"] == "serve", "caches are not on")
        yield url


def ask(url: str, pictures: np.ndarray, keys: list[str] | None) -> tuple[list[int], list[str]]:
    """Labels and exits of frames in a row, each moment's cameras one after the other."""
    labels, exits = [], []
    with httpx.Client(timeout=60) as client:
        for i, picture in enumerate(pictures):
            headers = {"X-Stream": keys[i]} if keys else {}
            reply = client.post(f"{url}/predict", content=png(picture), headers=headers)
            assert reply.status_code == 200, reply.text
            labels.append(reply.json()["class_id"])
            exits.append(reply.json()["exit"])
            time.sleep(0.005)  # what is to be remembered arrives
    return labels, exits


def test_a_stream_is_remembered_and_forgotten_and_no_other_is_read(url):
    pictures, streams = scenes(FRAMES * CAMERAS, seed=7)
    keys = [f"camera-{key}" for key in streams.keys]
    truth = base_answers(load(MODEL), pictures)
    labels, exits = ask(url, pictures, keys)
    _, without = ask(url, pictures, None)
    alone, apart = ask(url, pictures, [f"request-{i}" for i in range(len(pictures))])
    hits, hits_without, hits_apart = (
        np.mean([exit != "base" for exit in part]) for part in (exits, without, apart)
    )
    assert hits > hits_without + 0.02
    assert hits_apart <= hits_without + 0.02  # what others left says nothing to them
    assert (np.array(labels) != truth).mean() < 3 * LIMITS.max_disagreement
    assert (np.array(alone) != truth).mean() < 3 * LIMITS.max_disagreement

    again = pictures[-CAMERAS:]
    assert admin(url, "DELETE", "streams").json() == {"streams": "forgotten"}
    _, forgotten = ask(url, again, keys[-CAMERAS:])
    _, unknown = ask(url, again, [f"nobody-{i}" for i in range(CAMERAS)])
    assert forgotten == unknown


def test_streams_of_a_lookup_that_was_killed_begin_anew_and_are_answered_rightly(server, url):
    pictures, streams = scenes(3 * FRAMES * CAMERAS, seed=8)
    keys = [f"street-{key}" for key in streams.keys]
    truth = base_answers(load(MODEL), pictures)
    parts = np.array_split(np.arange(len(pictures)), 3)  # before, at once after, when it is back

    def part(rows):
        return ask(url, pictures[rows], [keys[i] for i in rows])

    before = part(parts[0])
    living = server.replicas(STREAMS, "Lookup0")
    os.kill(sorted(living.values())[0], signal.SIGKILL)
    after = part(parts[1])
    wait_until(
        lambda: len(now := server.replicas(STREAMS, "Lookup0")) == len(living) and now != living,
        "the lookup is replaced",
    )
    again = part(parts[2])
    labels = [label for labels, _ in (before, after, again) for label in labels]
    assert (np.array(labels) != truth).mean() < 3 * LIMITS.max_disagreement
    hits = [np.mean([exit != "base" for exit in exits]) for _, exits in (before, after, again)]
    assert hits[1] > hits[0] / 3  # the other lookup remembers its streams
    assert hits[2] > hits[0] / 2


def test_a_round_walks_through_what_came_of_streams(url):
    pictures, streams = scenes(FRAMES * CAMERAS, seed=10)
    ask(url, pictures, [f"yard-{key}" for key in streams.keys])
    assert admin(url, "POST", "retrain").status_code == 202

    def records() -> list[dict]:
        return admin(url, "GET", "rounds").json()

    wait_until(lambda: bool(records()), "there is a round")
    (record,) = records()
    assert record["window_samples"] > 0
    assert record["published"] is None and "samples" in record["why_not"]  # far too few


@pytest.fixture
def in_routers(server, remembering):
    """With copies of the lookup in two routers."""
    application = remembering | {"name": "in-routers", "route_prefix": "/in-routers"}
    application["args"] = remembering["args"] | {"lookup": {"threads": 1, "place": "router"}}
    application["deployments"] = [
        deployment | ({"num_replicas": 2} if deployment["name"] == "Router" else {})
        for deployment in remembering["deployments"]
    ]
    with server.application(application) as url:
        wait_until(lambda: stats(url)["guard"]["caches"] == "serve", "caches are not on")
        yield url


def test_routers_that_ask_a_copy_of_their_own_remember_and_forget(in_routers):
    pictures, streams = scenes(FRAMES * CAMERAS, seed=9)
    keys = [f"camera-{key}" for key in streams.keys]
    truth = base_answers(load(MODEL), pictures)
    labels, exits = ask(in_routers, pictures, keys)
    assert (np.array(labels) != truth).mean() < 3 * LIMITS.max_disagreement
    assert stats(in_routers)["hops"]["Lookup0"]["router"] > 0
    _, without = ask(in_routers, pictures, None)
    assert np.mean(np.array(exits) != "base") > np.mean(np.array(without) != "base")

    assert admin(in_routers, "DELETE", "streams").status_code == 200
    time.sleep(1)  # two exchanges
    again = pictures[-CAMERAS:]
    _, forgotten = ask(in_routers, again, keys[-CAMERAS:])
    _, unknown = ask(in_routers, again, [f"nobody-{i}" for i in range(CAMERAS)])
    assert forgotten == unknown
