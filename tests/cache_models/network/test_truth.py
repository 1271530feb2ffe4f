import numpy as np
import pytest
import torch

from cache_models.network import truth
from cache_models.network.base_dnn import classifier, load
from cache_models.network.truth import FIRST, Truth
from tests.tiny import images, tiny


@pytest.fixture
def asked(monkeypatch):
    """How many inputs the module itself was asked about, each time."""
    rows = []
    by_module = Truth._by_module
    monkeypatch.setattr(
        Truth, "_by_module", lambda self, x: (rows.append(len(x)), by_module(self, x))[1]
    )
    return rows


def modules(base, given):
    with torch.inference_mode():
        return base.module(base.inputs(given)).argmax(1).numpy()


def test_labels_are_the_modules_and_a_graph_does_most_of_the_work(asked):
    base, given = load("tests.tiny:tiny"), images(400)
    ask = Truth(base)
    labels = np.concatenate([ask(given[:7]), ask(given[7:250]), ask(given[250:])])
    assert labels.tolist() == modules(base, given).tolist()
    assert FIRST <= sum(asked) < 2 * FIRST


def test_few_inputs_are_not_worth_a_graph(monkeypatch):
    monkeypatch.setattr(truth, "engine", lambda *_: pytest.fail("a graph was made"))
    base = load("tests.tiny:tiny")
    assert Truth(base)(images(10)).tolist() == modules(base, images(10)).tolist()


def test_the_module_decides_where_rounding_could(asked):
    module, description = tiny()
    with torch.no_grad():  # two classes whose scores are the same, and the largest
        module.head.weight[:2], module.head.bias[:2] = 0, 100
    base = classifier("tied", module, description)
    given = images(100)
    assert Truth(base)(given).tolist() == modules(base, given).tolist()
    assert sum(asked) == len(given)


@pytest.mark.parametrize("fault", ["lies", "fails"])
def test_a_graph_that_is_wrong_is_not_believed(fault, monkeypatch, caplog):
    def broken(module, shapes):
        if fault == "fails":
            raise RuntimeError("no such operation")
        return lambda x: (np.zeros(len(x), int), np.tile([1.0, 0, 0, 0], (len(x), 1)))

    monkeypatch.setattr(truth, "engine", broken)
    base = load("tests.tiny:tiny")
    assert Truth(base)(images(100)).tolist() == modules(base, images(100)).tolist()
    assert caplog.text.count("the base DNN is asked in PyTorch") == 1
