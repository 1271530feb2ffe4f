"""What computes: a graph of operations behind one call."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

EngineName = Literal["onnxruntime", "torch", "compile", "cuda_graphs"]
"""ONNX Runtime; a PyTorch module as it is; one that torch.compile has made something of; its
kernels, recorded."""
EngineChoice = Literal["auto", "onnxruntime", "torch", "compile", "cuda_graphs"]
"""`auto`: on a CPU the one that was quickest when it was measured, on a GPU `cuda_graphs`."""

DType = Literal["float32", "tfloat32", "float16", "bfloat16"]
"""To compute in. `tfloat32`: float32, but for products on a GPU, whose factors have 10 bits of
fraction."""

TOGETHER = 8
"""Inputs that a CPU computes at once where many are to be: more are no quicker, and activations of
large ones take gigabytes."""


class Engine(Protocol):
    """Arrays in, arrays out; made for one device and a number of threads. One thread at a time
    asks it, which may be any."""

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]: ...

    def in_background(self) -> "Engine":
        """Of the same graph, for another thread to ask meanwhile. On a CPU that thread alone
        computes, so that its priority is that of all the work; a GPU has one for both."""
        ...
