"""A module of several inputs, or of an output that holds more than scores, is used as it is."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from cache_models.errors import NotAClassifierError
from cache_models.network.adapters import adapted
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import cut, run
from cache_models.network.description import ModelDescription

PICTURE = ModelDescription((3, 8, 8), ("a", "b"))


@dataclass
class Record:
    logits: Tensor
    hidden: Tensor


Outputs = namedtuple("Outputs", ["logits", "aux_logits"])


class Returns(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.conv, self.act, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(144, 2)
        self._form = form

    def forward(self, x):
        hidden = self.act(self.conv(x)).flatten(1)
        return self._form(self.head(hidden), hidden)


@pytest.mark.parametrize(
    "form",
    [
        lambda scores, hidden: {"hidden": hidden, "logits": scores},
        lambda scores, hidden: OrderedDict(hidden=hidden, classes=scores),
        lambda scores, hidden: (hidden, scores),
        lambda scores, hidden: [scores],
        lambda scores, hidden: Outputs(scores, scores + 1),
        lambda scores, hidden: Record(scores, hidden),
    ],
    ids=["dictionary", "by shape", "tuple", "list", "named tuple", "dataclass"],
)
def test_scores_are_taken_from_an_output_that_holds_more(form):
    module = Returns(form).eval().requires_grad_(False)
    base = BaseDNN("mine", adapted(module, PICTURE), PICTURE)
    model, inputs = cut(base), base.examples(3)
    names = [point.name for point in model.cut_points]
    assert names[:3] == ["input", "conv", "act"]
    with torch.inference_mode():
        expected = module.head(module.act(module.conv(inputs)).flatten(1))
        assert torch.equal(run(model.slices(names), inputs), expected)


def test_a_module_that_returns_scores_is_left_alone():
    module = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    assert adapted(module, PICTURE) is module


def test_scores_that_cannot_be_told_apart_are_refused():
    module = Returns(lambda scores, hidden: (scores, scores + 1))
    with pytest.raises(NotAClassifierError, match=r"0: \(2, 2\), 1: \(2, 2\).*logits"):
        adapted(module, PICTURE)


class Texts(nn.Module):
    """Embeds ids, and attends to what its mask says is there."""

    def __init__(self, whole_numbers: bool):
        super().__init__()
        self._whole_numbers = whole_numbers
        self.embedding = nn.Embedding(10, 8)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
        self.head = nn.Linear(8, 2)

    def forward(self, input_ids=None, attention_mask=None):
        if input_ids is None:
            raise ValueError("input_ids are needed")
        tokens = self.embedding(input_ids)
        if self._whole_numbers:
            bias = (1.0 - attention_mask.to(torch.float32))[:, None, None, :] * -1e9
        else:
            there = attention_mask.to(torch.bool)
            bias = torch.zeros(there.shape).masked_fill(~there, float("-inf"))[:, None, None, :]
        for layer in self.layers:
            given = tokens[:, None]
            mixed = nn.functional.scaled_dot_product_attention(given, given, given, attn_mask=bias)
            tokens = tokens + layer(mixed[:, 0])
        return {"logits": self.head(tokens[:, 0])}


TEXT = ModelDescription((2, 6), ("a", "b"), token_inputs=("input_ids", "attention_mask"))


@pytest.fixture(scope="module", params=[False, True], ids=["truth values", "whole numbers"])
def texts(request) -> BaseDNN:
    torch.manual_seed(0)
    module = Texts(request.param).eval().requires_grad_(False)
    return BaseDNN("mine", adapted(module, TEXT), TEXT)


def test_a_mask_of_tokens_travels_with_the_activation(texts):
    model = cut(texts)
    points = {point.name: point for point in model.cut_points}
    assert "input" not in points, "between ids there is no distance"
    assert points["embedding"].with_mask and points["embedding"].shape == (6, 9)
    assert len(points) >= 4
    for rows in (1, 2, 3, 5):
        inputs = texts.examples(rows)
        ids, mask = inputs.long().unbind(1)
        with torch.inference_mode():
            expected = texts.module.module.module(input_ids=ids, attention_mask=mask)["logits"]
            assert torch.equal(run(model.slices(list(points)), inputs), expected)


def test_the_mask_keeps_in_every_precision_that_travels(texts):
    model = cut(texts)
    first, last = model.slices(["embedding"])
    inputs = texts.examples(4)
    with torch.inference_mode():
        activation = first(inputs)
        rounded = activation.half().float()
        assert torch.equal(rounded[..., -1], inputs[:, 1])
        torch.testing.assert_close(last(rounded), last(activation), atol=1e-2, rtol=1e-2)
