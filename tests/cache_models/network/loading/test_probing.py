"""Modules whose answers cannot be the truth are refused, with the line."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from cache_models.errors import NotAClassifierError
from cache_models.network.description import ModelDescription
from cache_models.network.loading.probing import check_classifier


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.of_batch = nn.BatchNorm2d(8, track_running_stats=False)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 4)
        self.register_buffer("calls", torch.zeros(()))
        self.memory = 0.0

    def features(self, x):
        return self.pool(self.norm(self.conv(x)))

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def check(kind: type[nn.Module], **description) -> None:
    torch.manual_seed(0)
    described = ModelDescription((3, 8, 8), tuple("abcd"), **description)
    check_classifier("mine:net", kind().eval(), described)


class Viewed(Net):
    def forward(self, x):
        x = self.features(x)
        return self.head(x.view(x.size(0), -1))


class ChangesItsArgument(Net):
    def forward(self, x):
        return super().forward(x.sub_(1))


class ManyLayers(Net):
    def forward(self, x):
        x = self.conv(x)
        for _ in range(50):
            x = F.conv2d(F.relu(x), self.conv.weight.new_ones(8, 1, 3, 3) / 9, None, 1, 1, 1, 8)
        return self.head(x.mean((2, 3)))


class Constant(Net):
    def forward(self, x):
        return x.new_zeros(len(x), 4)


@pytest.mark.parametrize("kind", [Net, Viewed, ChangesItsArgument, ManyLayers, Constant])
def test_a_classifier_is_accepted(kind):
    check(kind)


class Squeezes(Net):
    def forward(self, x):
        x = self.features(x).squeeze()  # here
        return self.head(x)


class SqueezesAndFails(Net):
    def forward(self, x):
        x = self.features(x).squeeze()  # here
        return F.log_softmax(self.head(x), 1)


class Branches(Net):
    def forward(self, x):
        if len(x) == 1:
            x = x * 2  # here
        return super().forward(x)


class Centres(Net):
    def forward(self, x):
        return super().forward(x - x.mean(0))  # here


class OfTwo(Net):
    def forward(self, x):
        return self.head(self.features(x).reshape(2, -1))  # here


class NormOfTheBatch(Net):
    def forward(self, x):
        return self.head(self.pool(self.of_batch(self.conv(x))).flatten(1))  # here


class NormOfAlone(Net):
    """One value a channel: batch norm refuses a batch of one."""

    def forward(self, x):
        return self.head(self.of_batch(self.pool(self.conv(x))).flatten(1))  # here


class Attends(Net):
    def forward(self, x):
        tokens = self.conv(x).flatten(2)
        weights = (tokens @ tokens.transpose(1, 2)).softmax(0)  # here
        return self.head((weights @ tokens).mean(2))


class DropsAlways(Net):
    def forward(self, x):
        x = F.dropout(self.features(x).flatten(1), 0.5)  # here
        return self.head(x)


class Noisy(Net):
    def forward(self, x):
        return super().forward(x + 0.01 * torch.randn_like(x))  # here


class AlwaysTrains(Net):
    def train(self, mode=True):
        return super().train(True)

    def forward(self, x):
        return self.head(self.pool(self.norm(self.conv(x))).flatten(1))  # here


class Remembers(Net):
    def forward(self, x):
        x = self.features(x).flatten(1)
        self.memory = self.memory + 1
        return self.head(x + self.memory)  # here


class SeedsItself(Net):
    def forward(self, x):
        torch.manual_seed(0)
        return self.head(F.dropout(self.features(x).flatten(1)))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Squeezes, r"returned \(4,\) for an input of shape \(1, 3, 8, 8\)"),
        (SqueezesAndFails, r"cannot run on a float32 tensor of shape \(1, 3, 8, 8\)"),
        (Branches, "otherwise when others are in its batch"),
        (Centres, "otherwise when others are in its batch"),
        (OfTwo, r"returned|cannot run"),
        (NormOfTheBatch, "otherwise when others.*of_batch.*need running statistics"),
        (NormOfAlone, "running statistics|cannot run.*of_batch"),
        (Attends, "otherwise when others are in its batch"),
        (DropsAlways, r"otherwise when.*asked again.*F\.dropout\(x, p, self\.training\)|others"),
        (Noisy, "otherwise"),
        (AlwaysTrains, "otherwise"),
        (Remembers, "otherwise"),
    ],
)
def test_answers_that_depend_on_more_than_the_input_are_refused_with_the_line(kind, message):
    with pytest.raises(NotAClassifierError, match=message) as caught:
        check(kind)
    assert f"{__file__}:" in str(caught.value) and "# here`" in str(caught.value)


def test_chance_that_is_the_same_each_time_depends_on_the_place_in_the_batch():
    with pytest.raises(NotAClassifierError, match="otherwise when others are in its batch"):
        check(SeedsItself)


class Counts(Net):
    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class Sigmoids(Net):
    def forward(self, x):
        return super().forward(x).sigmoid()


class Softmax(Net):
    def forward(self, x):
        return super().forward(x).softmax(1)


class OneLogit(Net):
    def forward(self, x):
        return super().forward(x)[:, :1]


class OneFlatLogit(Net):
    def forward(self, x):
        return super().forward(x)[:, 0]


class Halved(Net):
    def forward(self, x):
        return super().forward(x).half()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Counts, "changes its buffer calls with every call"),
        (Sigmoids, "sigmoids of several labels.*make a base DNN of each"),
        (Softmax, "probabilities, not logits: say scores='probabilities'"),
        (OneLogit, r"one score an input, \(2, 1\).*torch\.stack"),
        (OneFlatLogit, r"one score an input, \(2,\).*torch\.stack"),
        (Halved, r"float16 scores; end forward with \.float\(\)"),
    ],
)
def test_scores_of_another_kind_are_refused_with_the_fix(kind, message):
    with pytest.raises(NotAClassifierError, match=message):
        check(kind)


def test_probabilities_have_to_sum_to_one():
    check(Softmax, scores="probabilities")
    for kind in (Sigmoids, Net):
        with pytest.raises(NotAClassifierError, match="do not sum to 1"):
            check(kind, scores="probabilities")


def test_a_row_of_layers_names_the_layer():
    norm = nn.BatchNorm2d(8, track_running_stats=False)
    row = nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.Flatten(), nn.Linear(288, 4))
    with pytest.raises(NotAClassifierError, match=r"in 1 \(BatchNorm2d\)"):
        check(lambda: row)
