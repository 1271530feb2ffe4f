"""Where a traced graph can be cut: what crosses each place between two operations."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import fx

from cache_models.network.passengers import BATCHES, Passengers, Values

MASKS = (torch.bool, torch.int64)
"""What a mask may be; ones and zeros, if it is the latter."""


class Crossing(NamedTuple):
    """A place that one activation crosses.

    Attributes:
        node: it is computed last before that place.
        with_mask: whether later ones need the mask of the tokens, too.
        shape: of the activation without the batch, as it travels.
        order: as of `Values.orders`; None where it lies in memory as it travels.
    """

    node: fx.Node
    with_mask: bool
    shape: tuple[int, ...]
    order: tuple[int, ...] | None = None


def crossings(
    graph_module: fx.GraphModule, values: tuple[Values, Values]
) -> tuple[Passengers, list[Crossing]]:
    """With the passengers that leave the most places to cut, in execution order.

    Args:
        values: of the graph, for batches of the sizes `BATCHES`.
    """
    graph = graph_module.graph
    passengers = Passengers(graph, values)
    found = _crossings(graph, passengers, values)
    masks = [
        node for dtype in MASKS for node in graph.nodes
        if node not in passengers and _is_mask(node, dtype, values)
    ]  # fmt: skip
    for mask in masks:
        _compute_first(graph, mask)
        others = Passengers(graph, values, mask)
        more = _crossings(graph, others, values)
        if len(more) > len(found):
            passengers, found = others, more
    return passengers, found


def _crossings(
    graph: fx.Graph, passengers: Passengers, values: tuple[Values, Values]
) -> list[Crossing]:
    nodes = list(graph.nodes)
    place = {node: position for position, node in enumerate(nodes)}
    last_use = {
        node: max((place[user] for user in node.users if user not in passengers), default=-1)
        for node in nodes
    }
    mask = passengers.mask
    mask_from = len(nodes) if mask is None else place[mask]
    mask_until = max((last_use[node] for node in nodes if node in passengers.of_mask), default=-1)
    found = []
    live: set[fx.Node] = set()
    for position, node in enumerate(nodes[:-2]):
        if node in passengers:
            continue
        live = {n for n in live if last_use[n] > position}
        if last_use[node] > position and node is not mask:
            live.add(node)
        if live == {node}:
            with_mask = mask_from < position < mask_until
            shape = _shape(node, mask if with_mask else None, values)
            if shape is not None:
                order = None if with_mask else values[1].orders.get(node)
                found.append(Crossing(node, with_mask, shape, order))
    return found


def _shape(
    node: fx.Node, mask: fx.Node | None, values: tuple[Values, Values]
) -> tuple[int, ...] | None:
    """Of the activation `node` without the batch, as it travels; None where it is none."""
    shapes = []
    for rows, found in zip(BATCHES, values, strict=True):
        shape, dtype = found.tensors.get(node, ((), None))
        if dtype != torch.float32 or len(shape) < 2 or shape[0] != rows:
            return None
        shapes.append(shape[1:])
    if shapes[0] != shapes[1]:
        return None
    if mask is None:
        return shapes[0]
    _, length = values[0].tensors[mask][0]
    match shapes[0]:
        case (tokens, channels) if tokens == length:
            return (tokens, channels + 1)
    return None


def _compute_first(graph: fx.Graph, node: fx.Node) -> None:
    """Move an operation, and what it needs, to where the input is all that there is."""
    needed, ahead = {node}, [node]
    while ahead:
        new = set(ahead.pop().all_input_nodes) - needed
        needed |= new
        ahead.extend(new)
    last = next(node for node in graph.nodes if node.op == "placeholder")
    for one in list(graph.nodes):
        if one in needed and one.op != "placeholder":
            last.append(one)
            last = one


def _is_mask(node: fx.Node, dtype: torch.dtype, values: Sequence[Values]) -> bool:
    """Whether it is a value for each token."""
    return all(
        node in found.tensors
        and found.tensors[node][1] == dtype
        and len(found.tensors[node][0]) == 2
        and found.tensors[node][0][0] == rows
        for rows, found in zip(BATCHES, values, strict=True)
    )
