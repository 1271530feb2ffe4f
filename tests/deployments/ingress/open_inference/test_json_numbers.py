"""Numbers are read and written piece by piece as if it were in one go, or not at all."""

import json

import numpy as np
import pytest

from deployments.ingress.open_inference import json_numbers

MANY = np.random.default_rng(0).normal(size=(7, 5_000)).astype(np.float32)


@pytest.mark.parametrize(
    "given", [MANY, np.arange(30_000).reshape(300, 100, 1), np.array([[-0.0]])]
)
def test_any_number_of_numbers_comes_back(given):
    for nested in (given.tolist(), given.ravel().tolist()):
        for separators in ((",", ":"), (" ,\n ", ":")):
            text = json.dumps(nested, separators=separators).encode()
            read = json_numbers.read(text, given.shape)
            assert read.dtype in (np.int64, np.float64)
            assert np.array_equal(read, given)
    assert json.loads(json_numbers.write(given)) == given.ravel().tolist()


@pytest.mark.parametrize(
    "text",
    [
        "[1, 2, 3]",
        "[1]",
        "[1, ]",
        "[, 1]",
        "[1 2, 3]",
        "[1, 2",
        "[[1], [2, 3]]",
        "[[1], 2[]]",
        "[[1], []2]",
        "[[1, 2]]",
        "[1, null]",
        "[1, true]",
        '[1, "2"]',
        "[1, NaN]",
        "[01, 2]",
        "[1, +2]",
        "[1, 99999999999999999999]",
        "1",
        "",
    ],
)
def test_what_is_anything_else_is_left_to_others(text):
    assert json_numbers.read(text.encode(), (2, 1)) is None


def test_a_shape_that_is_larger_than_the_text_costs_nothing():
    assert json_numbers.read(b"[1, 2]", (10**9, 10**9)) is None
