"""What computes: a graph of operations behind one call."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np

EngineName = Literal["onnxruntime", "torch", "compile"]
"""ONNX Runtime; a PyTorch module as it is; one that torch.compile has made something of."""
EngineChoice = Literal["auto", "onnxruntime", "torch", "compile"]
"""`auto`: on a CPU the one that was quickest when it was measured, elsewhere `torch`."""


class Engine(Protocol):
    """Arrays in, arrays out; made for one device and a number of threads. One thread at a time
    asks it, which may be any."""

    def __call__(self, *arrays: np.ndarray) -> Sequence[np.ndarray]: ...

    def in_background(self) -> "Engine":
        """Of the same graph, for another thread to ask meanwhile. On a CPU that thread alone
        computes, so that its priority is that of all the work; a GPU has one for both."""
        ...
