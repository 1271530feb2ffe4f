"""On a GPU every slice computes what the module does there, bit by bit, however it is launched."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from cache_models.bench.libraries import make
from cache_models.build.survey import candidate_names
from cache_models.network.activation import pack
from cache_models.network.base_dnn import classifier
from cache_models.network.cutting import cut
from cache_models.network.engine.cuda_graphs import MOST, CudaGraphs
from cache_models.network.engine.numerics import numerics
from cache_models.network.engine.pytorch import PyTorch
from cache_models.network.partition_module import Last, Travelling, partition_modules
from cache_models.network.slice_engines import slice_engines
from cache_models.network.stages import INPUT

NAMES = ["resnet18", "mobilenet_v3_small", "vit_b_32", "convnext_tiny", "transformers:DistilBert"]


@pytest.fixture(scope="module")
def whole():
    """A ResNet-18, as one engine."""
    torch.manual_seed(0)
    base = classifier("resnet18", *make("resnet18", 64))
    return base, CudaGraphs(Last(base.module, base.description).eval(), "cuda")


def as_a_row(engines, given: np.ndarray) -> np.ndarray:
    for one in engines:
        _, given = one(given)
    return given


@pytest.mark.parametrize("name", NAMES)
def test_slices_give_the_modules_scores_bit_by_bit(name):
    torch.manual_seed(0)
    base = classifier(name, *make(name, 64))
    model = cut(base)
    candidates = [point for point in candidate_names(model) if point != INPUT]
    middle = [candidates[len(candidates) // 2]]
    engines = slice_engines(base, model, middle, device="cuda")
    assert all(isinstance(one, CudaGraphs) for one in engines)
    module = PyTorch(Last(base.module, base.description).eval(), 1, "cuda")
    for rows in (1, 3, 2, 3):
        given = base.description.examples(rows, seed=rows)
        assert np.array_equal(as_a_row(engines, given), module(given)[1])


def test_float32_is_not_rounded(whole):
    """PyTorch, left alone, rounds what convolutions multiply, which changes answers."""
    base, engine = whole
    given = base.description.examples(8)
    with torch.inference_mode():
        expected = base.module(torch.from_numpy(given)).softmax(1).numpy()
        with numerics("tfloat32"):
            rounded = base.module.cuda()(torch.from_numpy(given).cuda()).softmax(1).cpu().numpy()
    base.module.cpu()
    error, of_rounded = (np.abs(made - expected).max() for made in (engine(given)[1], rounded))
    assert error < 1e-5
    assert error < of_rounded / 5


def test_shapes_beyond_those_that_are_recorded_are_computed_too(whole):
    base, engine = whole
    shapes = range(1, MOST + 5)
    for rows in [*shapes, *reversed(shapes)]:
        given = base.description.examples(rows, seed=rows)
        labels, probabilities = engine(given)
        assert probabilities.shape == (rows, len(base.description.classes))
        assert np.array_equal(labels, probabilities.argmax(1))
    again = CudaGraphs(Last(base.module, base.description).eval(), "cuda")
    for rows in (1, MOST + 4):
        given = base.description.examples(rows, seed=rows)
        assert np.array_equal(engine(given)[1], again(given)[1])


def test_answers_are_not_overwritten_by_the_next(whole):
    base, engine = whole
    first, second = base.description.examples(2)[:, None]
    kept = engine(first)[1]
    copy = kept.copy()
    assert not np.array_equal(engine(second)[1], copy)
    assert np.array_equal(kept, copy)


def test_run_ons_run_beside_requests(whole):
    base, engine = whole
    behind = engine.in_background()
    given = [base.description.examples(1, seed=seed) for seed in range(200)]
    expected = [engine(one)[1] for one in given]

    def all_by(one: CudaGraphs) -> list[np.ndarray]:
        return [one(inputs)[1] for inputs in given]

    with ThreadPoolExecutor(2) as threads:
        for made in threads.map(all_by, (engine, behind)):
            assert np.array_equal(made, expected)


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_activations_travel_as_they_do_from_a_cpu(precision, whole):
    base, _ = whole
    model = cut(base)
    (name,) = [point for point in candidate_names(model) if point == "layer2.1"]
    first, last = partition_modules(model, [name], base.description)
    plain = [CudaGraphs(module, "cuda") for module in (first, last)]
    travelling = [CudaGraphs(Travelling(m, precision), "cuda") for m in (first, last)]
    given = base.description.examples(2)
    features, activation = plain[0](given)
    its_features, packed = travelling[0](given)
    assert np.array_equal(features, its_features)
    assert np.array_equal(packed, pack(activation, precision))
    answers = travelling[1](packed)
    if precision == "float32":
        assert np.array_equal(answers[1], plain[1](activation)[1])
    assert np.abs(answers[1] - plain[1](activation)[1]).max() < 0.02


@pytest.mark.parametrize("dtype", ["tfloat32", "float16", "bfloat16"])
def test_other_numbers_are_nearly_the_same(dtype, whole):
    base, exact = whole
    given = base.description.examples(4)
    (engine,) = slice_engines(base, cut(base), [], None, "cuda", "auto", dtype)
    difference = np.abs(engine(given)[1] - exact(given)[1]).max()
    assert 0 < difference < 0.05
