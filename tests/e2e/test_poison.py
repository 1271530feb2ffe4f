"""A request that ends the process which computes it harms itself alone."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from cache_models.network.base_dnn import load
from tests.deadly import POISON
from tests.e2e.conftest import cold_application, stats
from tests.e2e.server import wait_until
from tests.tiny import images
from workload.client.client import send
from workload.client.protocols import png
from workload.client.truth import base_answers
from workload.traffic.arrivals import fixed

NAME, REPLICAS, RATE_PER_S = "deadly", 3, 20


@pytest.fixture(scope="module")
def url(server, tmp_path_factory):
    application = cold_application("tests.deadly:deadly", tmp_path_factory.mktemp("poison"))
    application["deployments"] = [
        {"name": name, "num_replicas": count, "ray_actor_options": {"num_cpus": 0.1}}
        for name, count in {"Router": 1, "Partition0": REPLICAS, "Partition1": 1}.items()
    ]
    with server.application(application) as url:
        yield url


def test_a_poison_request_is_tried_once_elsewhere_and_all_others_are_answered(server, url):
    pictures = images(300)
    truth = base_answers(load("tests.deadly:deadly"), pictures)
    before = server.replicas(NAME, "Partition0")
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(send, url, pictures, fixed(len(pictures), RATE_PER_S))
        wait_until(lambda: stats(url)["requests"] > RATE_PER_S, "nothing is answered")
        refused = httpx.post(f"{url}/predict", content=png(POISON), timeout=60)
        now = server.replicas(NAME, "Partition0")
        answers = asking.result()
    assert refused.status_code == 503, refused.text
    assert "two replicas" in refused.json()["error"]
    assert 1 <= len(before.keys() - now.keys()) <= 2
    assert not answers.errors
    assert (answers.class_ids == truth).all()
    wait_until(lambda: len(server.replicas(NAME, "Partition0")) == REPLICAS, "not all are back")
