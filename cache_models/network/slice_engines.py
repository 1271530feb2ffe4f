"""Engines of a base DNN that is cut in this process, to record, measure or evaluate with."""

from collections.abc import Sequence

from torch import nn
from tqdm import tqdm

from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import CutModel
from cache_models.network.engine.interface import DType, Engine, EngineChoice
from cache_models.network.engine.making import engine
from cache_models.network.partition_module import partition_modules


def slice_engines(
    base: BaseDNN,
    model: CutModel,
    names: Sequence[str],
    threads: int | None = None,
    device: str = "cpu",
    choice: EngineChoice = "auto",
    dtype: DType = "float32",
) -> list[Engine | None]:
    """For the slices between the named cut points of `model`, which was cut from `base`; None for
    the one that ends at the input, which is nothing to run. Other arguments as of `engine`."""
    modules = partition_modules(model, names, base.description, dtype)
    starts = tqdm([None, *names], desc="export", unit="slice", disable=len(modules) < 3)
    return [
        None
        if isinstance(module, nn.Identity)
        else engine(module, [model.input_shape_of(start)], threads, device, choice, dtype)
        for start, module in zip(starts, modules, strict=True)
    ]
