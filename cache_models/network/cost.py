"""What a slice of the base DNN, or a lookup, costs on the device at hand."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cache_models.network.cutting import CutModel
from cache_models.network.description import ModelDescription
from cache_models.network.engine.interface import Engine

BATCHES = (1, 8)


def median_ms(
    call: Callable[[], object],
    repetitions: int = 15,
    warm_up: int = 3,
    before: Callable[[], object] = lambda: None,
) -> float:
    """Median milliseconds of `call`, after `warm_up` calls that are not counted.

    Args:
        before: done before every call, and not counted: a pause, say.
    """
    times = []
    for _ in range(warm_up + repetitions):
        before()
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times[warm_up:]) * 1e3


def slice_costs(
    engines: Sequence[Engine | None],
    description: ModelDescription,
    batches: Sequence[int] = BATCHES,
) -> list[dict[int, float]]:
    """Median milliseconds of each slice, by batch size.

    Each slice runs right after the one before it, as it does for a request, so that its input is
    as warm in the processor's caches as it will be.

    Args:
        engines: of consecutive slices, as `network.partition_module` describes what they return;
            None for a slice that is nothing to run.
        description: of the base DNN, whose input the first one takes.
    """
    costs: list[dict[int, float]] = [{} for _ in engines]
    for batch in batches:
        inputs = description.examples(batch)
        times: list[list[float]] = [[] for _ in engines]
        for repetition in range(3 + 15):
            activation = inputs
            for engine, spent in zip(engines, times, strict=True):
                start = time.perf_counter()
                if engine is not None:
                    _, activation = engine(activation)
                if repetition >= 3:
                    spent.append(time.perf_counter() - start)
        for cost, spent in zip(costs, times, strict=True):
            cost[batch] = statistics.median(spent) * 1e3
    return costs


def slice_flops(model: CutModel, names: Sequence[str]) -> list[int]:
    """Floating point operations of each slice between the named cut points, for one input.

    Counted, not timed, so they are the same on every machine.
    """
    flops = []
    activation = torch.zeros(1, *model.input_shape_of(None))
    with torch.no_grad():
        for module in model.slices(names):
            activation, counted = count_flops(module, activation)
            flops.append(counted)
    return flops


def count_flops(module: nn.Module, inputs: Tensor) -> tuple[Any, int]:
    """What `module` makes of `inputs`, and the floating point operations it takes."""
    with FlopCounterMode(display=False) as counter:
        out = module(inputs)
    return out, counter.get_total_flops()


def module_bytes(module: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in module.state_dict().values())
