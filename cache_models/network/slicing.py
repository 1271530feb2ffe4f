"""A part of a traced graph as a module of its own.

Where later operations need the mask of the tokens, it travels as one more channel of the activation
`(B, tokens, channels + 1)`: ones and zeros, which are exact in every precision.

An activation travels in the order of its dimensions. Where it had another in the module, such as
channels last, the slice behind gives it that again: the same operations add numbers up in another
order for another one.
"""

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn

from cache_models.network.crossing import Crossing
from cache_models.network.passengers import Device, Multiple, Passengers


def slice_module(
    whole: fx.GraphModule,
    passengers: Passengers,
    start: Crossing,
    between: Sequence[fx.Node],
    end: Crossing | None,
) -> nn.Module:
    """The nodes `between` as a module that takes what crosses at `start`, makes for itself what
    else they need, and returns what crosses at `end`, or the answer."""
    part = _Part(passengers, start)
    for node in between:
        if node.op == "output":
            part.graph.output(part.value_of(node.args[0]))
        elif node not in passengers:
            part.copy(node)
    if end is not None:
        part.hand_on(end)
    module = fx.GraphModule(whole, part.graph)
    module.delete_all_unused_submodules()
    return module.eval()


ATEN = torch.ops.aten


class _Part:
    """A graph under construction; what it needs of the whole is copied when it is asked for."""

    def __init__(self, passengers: Passengers, start: Crossing):
        self.graph = fx.Graph()
        self._passengers = passengers
        self._activation = self.graph.placeholder("activation")
        self._copies: dict[fx.Node, Any] = {start.node: self._activation}
        self._about_activation: dict[str, fx.Node] = {}
        if start.with_mask:
            assert passengers.mask is not None
            call = self.graph.call_function
            tokens = call(ATEN.slice.Tensor, (self._activation, 2, 0, -1))
            self._copies[start.node] = call(ATEN.contiguous.default, (tokens,))
            mask = call(ATEN.select.int, (self._activation, 2, -1))
            self._copies[passengers.mask] = call(ATEN.to.dtype, (mask, passengers.mask_dtype))
        elif start.order is not None:
            call = self.graph.call_function
            ordered = call(ATEN.permute.default, (self._activation, start.order))
            laid_out = call(ATEN.contiguous.default, (ordered,))
            back = [start.order.index(dimension) for dimension in range(len(start.order))]
            self._copies[start.node] = call(ATEN.permute.default, (laid_out, back))

    def hand_on(self, end: Crossing) -> None:
        activation = self.copy(end.node)
        if end.with_mask:
            assert self._passengers.mask is not None
            call = self.graph.call_function
            mask = call(ATEN.unsqueeze.default, (self.copy(self._passengers.mask), 2))
            channel = call(ATEN.type_as.default, (mask, activation))
            activation = call(ATEN.cat.default, ([activation, channel], 2))
        self.graph.output(activation)

    def copy(self, node: fx.Node) -> Any:
        if node not in self._copies:
            if node in self._passengers.plain:
                self._copies[node] = self.value_of(self._passengers.plain[node])
            else:
                args, kwargs = self.value_of(node.args), self.value_of(node.kwargs)
                made = self.graph.create_node(node.op, node.target, args, kwargs, node.name)
                made.meta = dict(node.meta)
                self._copies[node] = made
        return self._copies[node]

    def value_of(self, argument: Any) -> Any:
        """An argument of an operation in the whole graph, for this one."""
        match argument:
            case fx.Node():
                return self.copy(argument)
            case Multiple(times):
                size = self._about("size", "call_method", "size", 0)
                if times == 1:
                    return size
                return self.graph.call_function(operator.mul, (size, times))
            case Device() | torch.device():
                return self._about("device", "call_function", getattr, "device")
            case tuple():
                return tuple(map(self.value_of, argument))
            case list():
                return list(map(self.value_of, argument))
            case dict():
                return {key: self.value_of(value) for key, value in argument.items()}
            case slice(start=start, stop=stop, step=step):
                return slice(*map(self.value_of, (start, stop, step)))
        return argument

    def _about(self, what: str, op: str, target: Any, *args: Any) -> fx.Node:
        if what not in self._about_activation:
            made = self.graph.create_node(op, target, (self._activation, *args))
            self._about_activation[what] = made
        return self._about_activation[what]
