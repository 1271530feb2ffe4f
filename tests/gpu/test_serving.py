"""`serve run` with the base DNN's partitions on shares of one GPU."""

import httpx
import numpy as np
import pytest

from tests.e2e.conftest import shipped_application, stats
from workload.client.protocols import png

ON_GPU = {"device": "cuda", "threads": 1}


@pytest.fixture(scope="module")
def url(server):
    application = shipped_application()
    application["args"] |= {"partition": ON_GPU, "lookup": ON_GPU}
    for deployment in application["deployments"]:
        if deployment["name"] != "Router":
            deployment["ray_actor_options"] = {"num_cpus": 0.1, "num_gpus": 0.4}
    with server.application(application) as url:
        yield url


def test_without_caches_it_answers_as_the_base_dnn_on_a_cpu(url, asked):
    images, answers = asked
    with httpx.Client(base_url=url, timeout=60) as client:
        given = [
            client.post("/predict?cache=off", content=png(image)).json()["class_id"]
            for image in images[:300]
        ]
    assert np.array_equal(given, answers[:300])


def test_caches_hit_and_keep_the_promise(url, asked):
    images, answers = asked
    with httpx.Client(base_url=url, timeout=60) as client:
        given = [client.post("/predict", content=png(image)).json() for image in images]
    hits = [answer["exit"] != "base" for answer in given]
    assert np.mean(hits) > 0.5
    assert np.mean([answer["class_id"] for answer in given] != answers) <= 0.02
    assert stats(url)["hops"].keys() == {"Partition0", "Lookup0"}


def test_a_trace_names_every_hop(url, asked):
    body = png(asked[0][0])
    answer = httpx.post(f"{url}/predict?cache=off", content=body, headers={"X-Trace": "1"})
    assert answer.status_code == 200
    assert "Partition0" in answer.text
