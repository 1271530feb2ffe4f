"""What a slice of the base DNN, or a lookup, costs on the device at hand."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from cache_models.cutting import CutModel, CutPoint
from cache_models.layout import channels_last

BATCHES = (1, 8)


def median_ms(call: Callable[[], object], repetitions: int = 15, warm_up: int = 3) -> float:
    """Median milliseconds of `call`, after `warm_up` calls that are not counted."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def slice_costs(
    model: CutModel, names: Sequence[str], device: str = "cpu", batches: Sequence[int] = BATCHES
) -> list[dict[int, float]]:
    """Median milliseconds of each slice between the named cut points, by batch size.

    Each slice runs right after the one before it, as it does for a request, so that its input is
    as warm in the processor's caches as it will be.

    Returns:
        `len(names) + 1` dictionaries from batch size to milliseconds.
    """
    slices = [channels_last(module.to(device)) for module in model.slices(names)]
    costs: list[dict[int, float]] = [{} for _ in slices]
    for batch in batches:
        inputs = channels_last(torch.randn(batch, *model.input_shape_of(None), device=device))
        times: list[list[float]] = [[] for _ in slices]
        with torch.inference_mode():
            for repetition in range(3 + 15):
                activation = inputs.clone()
                for module, spent in zip(slices, times, strict=True):
                    start = time.perf_counter()
                    activation = module(activation)
                    if activation.is_cuda:
                        torch.cuda.synchronize()
                    if repetition >= 3:
                        spent.append(time.perf_counter() - start)
        for cost, spent in zip(costs, times, strict=True):
            cost[batch] = statistics.median(spent) * 1e3
    return costs


def candidates(
    model: CutModel, costs_ms: Sequence[float], min_share: float = 0.02
) -> list[CutPoint]:
    """The cut points worth a cache: of neighbours less than `min_share` of the compute apart, the
    last, which has seen the most of it, unless all that is left after it is less than that, too.

    Args:
        costs_ms: of the slices between all cut points, as `slice_costs` returns them.
    """
    total = sum(costs_ms)
    chosen: list[CutPoint] = []
    reached = 0.0
    for cut_point, cost in zip(model.cut_points, costs_ms, strict=False):
        reached += cost
        before = sum(costs_ms[: _index(model, chosen[-1]) + 1]) if chosen else 0.0
        if chosen and reached - before < min_share * total:
            chosen[-1] = cut_point
        else:
            chosen.append(cut_point)
    return [c for c in chosen if sum(costs_ms[_index(model, c) + 1 :]) >= min_share * total]


def _index(model: CutModel, cut_point: CutPoint) -> int:
    return model.cut_points.index(cut_point)


def module_bytes(module: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in module.state_dict().values())
