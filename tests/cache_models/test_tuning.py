"""Threads and batch caps are chosen from what was measured."""

import pytest
import yaml

from cache_models.tuning import BATCHES, Tuned, choose, describe, thread_counts


def test_more_threads_are_chosen_only_where_they_are_quicker():
    assert choose("Partition0", {1: {1: 10.0}, 2: {1: 9.6}, 4: {1: 9.7}}).threads == 1
    assert choose("Partition0", {1: {1: 10.0}, 2: {1: 6.0}, 4: {1: 5.9}}).threads == 2


def test_the_batch_cap_is_the_smallest_with_nearly_the_least_time_a_row():
    assert choose("Lookup0", {1: {1: 1.0, 2: 1.2, 4: 2.0, 8: 3.95}}).batch_cap == 4
    assert choose("Partition1", {1: {1: 10.0, 2: 19.8, 4: 39.5}}).batch_cap == 1


def test_thread_counts_end_with_all_cores():
    assert [thread_counts(cores) for cores in (1, 2, 6)] == [[1], [1, 2], [1, 2, 4, 6]]


@pytest.mark.parametrize("compiled", [False, True])
def test_what_is_to_be_written_is_what_was_measured(compiled):
    ms = dict.fromkeys(BATCHES, 1.0)
    text = describe([Tuned("Partition0", 2, 4, ms), Tuned("Lookup0", 1, 8, ms)], compiled)
    written = yaml.safe_load(text[text.index("overrides:") :])["overrides"]
    as_measured = {"device": "auto", "threads": 2, "max_batch_rows": 4}
    assert written["Partition0"] == as_measured | ({"compile": True} if compiled else {})
    assert written["Lookup0"] == {"device": "cpu", "threads": 1, "max_batch_rows": 8}
