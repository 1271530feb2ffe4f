"""How many threads to try."""

from cache_models.network.threads import thread_counts


def test_thread_counts_end_with_all_cores():
    assert [thread_counts(most) for most in (1, 2, 6)] == [[1], [1, 2], [1, 2, 4, 6]]
