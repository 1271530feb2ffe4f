"""What a tracer hands to `network.cutting`: a base DNN as one graph, whoever traced it."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import fx, nn

LIBRARY = ("/torch/", "/cache_models/network/tracing", "<eval_with_key>")
"""Where no user's code is."""


@dataclass(frozen=True)
class Traced:
    """
    Attributes:
        graph_module: takes one tensor, returns one tensor.
        names: of its nodes, as `name` gives them.
    """

    graph_module: fx.GraphModule
    names: Mapping[fx.Node, str]


def name(node: fx.Node, root: nn.Module, ended: Sequence[str], within: Sequence[str]) -> str:
    """What a user calls the place after `node`: the outermost module that ends there and is a
    layer of its own, not a mere container; else the operation.

    Args:
        ended: paths of the modules that end at `node`, innermost first, and are called once.
        within: paths of the modules that `node` is in, innermost last.
    """
    for path in reversed(ended):
        if type(root.get_submodule(path)) is not nn.Sequential:
            return path
    return ended[0] if ended else ".".join([*within[-1:], node.name])


def line_of(error: BaseException) -> str:
    """The line of the user's own code at which tracing failed."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not any(part in frame.filename for part in LIBRARY)
    ]  # fmt: skip
    if not frames:
        return ""
    return f" at {frames[-1].filename}:{frames[-1].lineno} `{frames[-1].line}`"
