"""A model that takes several tensors of tokens is sent each by its name, in any order."""

import json

import numpy as np
import pytest

from cache_models.network.description import ModelDescription
from deployments.config import HttpLimits
from deployments.ingress.errors import RequestError
from deployments.ingress.open_inference.metadata import config, metadata
from tests.deployments.ingress.open_inference.test_binary import message
from tests.deployments.ingress.open_inference.test_rest import TENSORS, parse

TOKENS = ModelDescription((2, 3), ("cat", "dog"), token_inputs=("input_ids", "attention_mask"))
IDS, MASK = np.array([[7, 8, 0], [9, 0, 0]]), np.array([[1, 1, 0], [1, 0, 0]], np.int32)


def two(ids: np.ndarray, mask: np.ndarray, as_bytes: bool) -> tuple[bytes, str]:
    """A body with the mask first, and the length of its JSON."""
    tensors, follow = [], b""
    for name, values in (("attention_mask", mask), ("input_ids", ids)):
        tensor = {"name": name, "shape": values.shape, "datatype": values.dtype.name.upper()}
        if as_bytes:
            tensor["parameters"] = {"binary_data_size": values.nbytes}
            follow += values.tobytes()
        else:
            tensor["data"] = values.tolist()
        tensors.append(tensor)
    head = json.dumps({"inputs": tensors}).encode()
    return head + follow, str(len(head))


@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_model_of_tokens_takes_its_inputs_by_their_names(as_bytes):
    body, length = two(IDS, MASK, as_bytes)
    batch = parse(body, TOKENS, length=length)[1]
    assert batch.dtype == np.float32
    assert batch.tolist() == np.stack([IDS, MASK], axis=1).tolist()
    told = metadata("m", TOKENS, HttpLimits())
    assert [(i.name, i.datatype, i.shape) for i in told.inputs] == [
        ("input_ids", "INT64", [-1, 3]),
        ("attention_mask", "INT64", [-1, 3]),
        ("input", "FP32", [-1, 2, 3]),
    ]
    optional = [i.optional for i in config("m", TOKENS, HttpLimits()).input]
    assert optional == [False, False, True]


def test_too_few_or_too_many_inputs_are_named():
    alone, length = message(IDS, "INT64", "input_ids")
    with pytest.raises(RequestError, match=r"\['input_ids'\]; .* or 'input' alone"):
        parse(alone, TOKENS, length=length)
    body, length = two(IDS, MASK[:1], as_bytes=True)
    with pytest.raises(RequestError, match="as many rows"):
        parse(body, TOKENS, length=length)
    body, length = two(IDS + 2**24, MASK, as_bytes=True)
    with pytest.raises(RequestError, match=r"inputs\.1\.data holds 16777223"):
        parse(body, TOKENS, length=length)
    tensor = {"name": "input", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    with pytest.raises(RequestError, match=r"\['input', 'input'\]"):
        parse(json.dumps({"inputs": [tensor, tensor]}).encode(), TENSORS)


@pytest.mark.parametrize("name", ["input_ids", "input"])
def test_a_single_one_is_a_row_too(name):
    body, length = message(IDS, "INT64", name)
    one = ModelDescription((1, 3), ("cat", "dog"), token_inputs=(name,))
    assert parse(body, one, length=length)[1].tolist() == IDS[:, None].tolist()
