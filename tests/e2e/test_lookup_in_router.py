"""With `lookup.place: router` answers are those of a lookup deployment, from every version, and
where caches may not answer, the router's own does not."""

import shutil

import httpx
import pytest

from cache_models.store.copies import working_copy
from cache_models.store.versions import Store
from cache_models.zoo.fashion import STORE, sample
from tests.e2e.conftest import admin, shipped_application, stats
from tests.e2e.server import wait_until
from workload.client.protocols import png

PICTURES = [png(image) for image in sample()[0][:60]]


@pytest.fixture(scope="module")
def url(server, tmp_path_factory):
    """Of the shipped caches, twice."""
    store = working_copy(Store(STORE), tmp_path_factory.mktemp("in-router"))
    versions = store.folder / "versions"
    shutil.copytree(versions / "1", versions / "2")
    application = shipped_application() | {"name": "in-router", "route_prefix": "/in-router"}
    application["args"]["store"] = str(store.folder)
    application["args"]["lookup"] = {"place": "router"}
    with server.application(application) as url:
        yield url


def answers(url: str) -> list[dict]:
    with httpx.Client(base_url=url, timeout=60) as client:
        return [client.post("/predict", content=picture).json() for picture in PICTURES]


def without_times(answers: list[dict]) -> list[dict]:
    return [{k: a[k] for k in a if k not in ("latency_ms", "request_id")} for a in answers]


def asked(url: str) -> tuple[int, int]:
    """Lookups in routers, and rows that they and the deployment have computed."""
    told = stats(url)
    return told["hops"]["Lookup0"]["router"], told["stages"]["Lookup0"]["rows"]


def test_answers_are_those_of_the_deployment(url, shipped):
    before = asked(url)
    here = answers(url)
    assert [now - then for now, then in zip(asked(url), before, strict=True)] == [len(here)] * 2
    assert {answer["exit"] for answer in here} == {"input", "base"}
    assert without_times(here) == without_times(answers(shipped))


def test_a_new_version_reaches_it_and_caches_that_are_off_are_not_asked(url):
    before = without_times(answers(url))
    assert admin(url, "POST", "rollback", json={"version": 2}).status_code == 200
    wait_until(lambda: stats(url)["cache_version"] == 2, "version 2 is not served")
    after = without_times(answers(url))
    assert {answer["cache_version"] for answer in after} == {2, None}
    assert [a["probability"] for a in after] == [b["probability"] for b in before]

    assert admin(url, "POST", "mode", json={"mode": "off"}).status_code == 200
    wait_until(lambda: {a["exit"] for a in answers(url)[:3]} == {"base"}, "caches stay on")
    lookups = asked(url)
    assert {answer["exit"] for answer in answers(url)} == {"base"}
    assert asked(url) == lookups


def test_the_trace_has_its_queue_and_compute(url):
    assert admin(url, "POST", "mode", json={"mode": "serve"}).status_code == 200
    wait_until(lambda: {a["exit"] for a in answers(url)} != {"base"}, "caches stay off")
    headers = {"X-Trace": "1"}
    answer = httpx.post(f"{url}/predict", content=PICTURES[0], headers=headers, timeout=60).json()
    (lookup,) = [step for step in answer["trace"] if step["step"] == "Lookup0"]
    assert lookup["compute_ms"] > 0 and lookup["hop_ms"] < lookup["ms"]
