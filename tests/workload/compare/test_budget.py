"""What is sent fits into the time that there is."""

import pytest

from workload.compare.budget import Budget, budget


@pytest.mark.parametrize("seconds", [200, 480, 1200])
def test_the_budget_is_kept(seconds):
    for servers, once_s in ((7, 0.35), (2, 0.1)):
        found = budget(seconds, servers, once_s, base_s=0.04, rate_per_s=12)
        a_block_s = servers * (found.block_s + 1) + 12 * found.block_s * 0.04
        spent_s = found.requests * (once_s + 0.04) + found.blocks * a_block_s
        assert 0.7 * seconds < spent_s <= 1.1 * seconds
        assert found.blocks >= 3 and found.block_s <= 30


def test_what_the_user_fixed_stands():
    found = budget(100, 3, 0.2, 0.04, 10, requests=33, blocks=2, block_s=7)
    assert (found.requests, found.blocks, found.block_s) == (33, 2, 7)
    assert budget(100, 3, 0.2, 0.04, 10, blocks=2).block_s == 30


@pytest.mark.parametrize("most", [5, 50, 299, 300, 1000])
def test_no_more_is_sent_than_there_is(most):
    wanted = Budget(requests=100, blocks=4, block_s=5)
    found = wanted.within(most, rate_per_s=10)
    sent = found.requests + found.blocks * found.block_requests(10)
    assert sent == min(most, 300) and found.requests > 0
    assert (found == wanted) == (most >= 300)
