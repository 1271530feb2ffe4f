"""Values that cross a cut point beside the activation, and need not travel.

What depends on parameters, constants and the batch size alone, such as a mask of ones, position
ids or a class token for each row, is made again by each slice that needs it. Which values do is
found by computing the graph for batches of two sizes: a number that stays the same is a constant,
and one that grows as the batch does is a multiple of its size.

What depends on a mask of the tokens, too, such as one that says what attends to what, is made of
that mask, which travels in the activation: see `network.cutting`.
"""

import operator
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

BATCHES = (1, 2)
"""That values are found with."""


class Values(fx.Interpreter):
    """Computes a graph, and keeps what tensors look like and what other values are.

    Attributes:
        tensors: shape and dtype of the nodes that are tensors.
        orders: of those that lie otherwise in memory than in the order of their dimensions,
            these by falling stride, such as (0, 2, 3, 1) where channels are last.
        others: values of the nodes that have nothing to do with tensors.
        views: of each node those that it was made from, and may share memory with.
    """

    def __init__(self, graph_module: fx.GraphModule, inputs: Tensor):
        super().__init__(graph_module)
        self.tensors: dict[fx.Node, tuple[tuple[int, ...], torch.dtype]] = {}
        self.orders: dict[fx.Node, tuple[int, ...]] = {}
        self.others: dict[fx.Node, Any] = {}
        self.views: dict[fx.Node, list[fx.Node]] = {}
        with torch.inference_mode():
            self.run(inputs)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.views[n] = [one for one in n.all_input_nodes if _shared(value, self.env[one])]
        if isinstance(value, Tensor):
            self.tensors[n] = (tuple(value.shape), value.dtype)
            if not value.is_contiguous():
                by_stride = sorted(range(value.dim()), key=value.stride, reverse=True)
                self.orders[n] = tuple(by_stride)
        else:
            self.others[n] = value
        return value


class Multiple(NamedTuple):
    """Of the batch size."""

    times: int


class Device:
    """That of the activation."""


class _Unknown:
    pass


class Passengers:
    """The nodes of a graph that each slice makes for itself.

    Args:
        values: of the graph, for batches of the sizes `BATCHES`.
        mask: a node that every slice has, of a value for each token.

    Attributes:
        plain: of those that are no tensors, what they are: constants, `Multiple`, `Device`, or
            tuples of such.
        made: those that are made from plain ones, parameters, the mask and each other.
        of_mask: the mask, and those of them that are made from it.
    """

    def __init__(self, graph: fx.Graph, values: tuple[Values, Values], mask: fx.Node | None = None):
        self.mask = mask
        self.mask_dtype = None if mask is None else values[0].tensors[mask][1]
        self.plain: dict[fx.Node, Any] = {}
        self.made: set[fx.Node] = set()
        self.of_mask: set[fx.Node] = set() if mask is None else {mask}
        written = {tensor for node in graph.nodes for tensor in _written_by(node, values)}
        for node in graph.nodes:
            if node.op in ("placeholder", "output") or node is mask:
                continue
            plain = _plain(*(found.others.get(node, _Unknown) for found in values))
            if plain is not _Unknown:
                self.plain[node] = plain
            elif node not in written and all(
                given in self or given is mask for given in node.all_input_nodes
            ):
                self.made.add(node)
                if not self.of_mask.isdisjoint(node.all_input_nodes):
                    self.of_mask.add(node)

    def __contains__(self, node: fx.Node) -> bool:
        return node in self.plain or node in self.made


def _plain(first: Any, second: Any) -> Any:
    """What a value is that is `first` and `second` for batches of the sizes `BATCHES`."""
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        parts = [_plain(*pair) for pair in zip(first, second, strict=False)]
        known = len(first) == len(second) and _Unknown not in parts
        return tuple(parts) if known else _Unknown
    if isinstance(first, torch.device):
        return Device()
    if isinstance(first, bool | int | float | str | torch.dtype) and first == second:
        return first
    if type(first) is type(second) is int and first * BATCHES[1] == second * BATCHES[0]:
        return Multiple(first // BATCHES[0])
    return _Unknown


def _shared(first: Any, second: Any) -> bool:
    """Whether they may lie in the same memory; known of tensors, and numbers lie in none."""
    if isinstance(first, int | float) or isinstance(second, int | float):
        return False
    if not (isinstance(first, Tensor) and isinstance(second, Tensor)):
        return True
    return first.untyped_storage().data_ptr() == second.untyped_storage().data_ptr()


def _written_by(node: fx.Node, values: tuple[Values, Values]) -> set[fx.Node]:
    """What an operation writes to, itself, and all that the former may be a view of. None where
    nobody else uses any of these: then it is as good as one that writes to nothing."""
    ahead = _targets(node)
    reached: set[fx.Node] = {node} if ahead else set()
    alone = True
    while ahead:
        one = ahead.pop()
        alone = alone and one.op != "get_attr" and len(one.users) == 1
        if one.op != "get_attr" and one not in reached:
            reached.add(one)
            ahead.extend(view for found in values for view in found.views[one])
    return set() if alone else reached


def _targets(node: fx.Node) -> list[fx.Node]:
    if (schema := getattr(node.target, "_schema", None)) is not None:
        return [
            value for value, argument in zip(node.args, schema.arguments, strict=False)
            if isinstance(value, fx.Node)
            and argument.alias_info is not None
            and argument.alias_info.is_write
            and node.target is not torch.ops.aten.detach_.default
        ]  # fmt: skip
    called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
    in_place = (
        node.kwargs.get("inplace")
        or (node.op != "call_module" and called.endswith("_") and not called.endswith("__"))
        or node.target is operator.setitem
        or called in ("iadd", "isub", "imul", "itruediv")
    )
    return node.all_input_nodes[:1] if in_place else []
