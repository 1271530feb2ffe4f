"""A client that has a core for itself, and a server that has the others."""

import os

import pytest

from workload.chaos.run import apart


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_client_and_server_share_no_core():
    before = os.sched_getaffinity(0)
    with apart(True) as move:
        of_server = os.sched_getaffinity(0)
        move()
        of_client = os.sched_getaffinity(0)
    assert of_server | of_client == before and not of_server & of_client
    assert os.sched_getaffinity(0) == before
