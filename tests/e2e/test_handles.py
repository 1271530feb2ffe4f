"""The shipped application without the lane, all by Serve's own handles."""

import numpy as np
import pytest

from tests.e2e.conftest import by_way, shipped_application
from workload.run.agreement import ask


@pytest.fixture(scope="module")
def url(server):
    application = shipped_application() | {"name": "handles", "route_prefix": "/handles"}
    application["args"]["lane"] = {"enabled": False}
    with server.application(application) as url:
        yield url


def test_answers_agree_with_the_base_dnn_and_no_call_goes_by_lane(url, asked):
    """100 of the sample: at most what 1 % disagreement exceeds with probability 0.05."""
    images, answers = (part[:100] for part in asked)
    sides = ask(url, images)
    assert (np.array(sides["off"].class_ids) != answers).sum() <= 3
    assert (np.array(sides["on"].class_ids) != answers).sum() <= 3
    assert set(sides["off"].exits) == {"base"}
    assert np.mean([exit != "base" for exit in sides["on"].exits]) > 0.5
    ways = by_way(url)
    assert ways["lane"] == 0
    assert ways["handle"] >= 200
