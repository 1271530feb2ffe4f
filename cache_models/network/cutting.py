"""Cut a base DNN at the places that exactly one tensor crosses.

A *cut point* is a node of the traced graph after which that node's tensor is the only value that
later nodes still need. Cutting there leaves slices that take one tensor and return one tensor, and
that run the very same operations in the same order as the whole module. The first cut point is the
input itself, where nothing has been computed yet.

Values that each slice can make for itself cross nothing: see `network.passengers`. A mask of the
tokens travels as one more channel of the activation: see `network.slicing`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cache_models.errors import UntraceableModelError
from cache_models.network import tracing_export, tracing_fx
from cache_models.network.adapters import known_path
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.crossing import Crossing, crossings
from cache_models.network.passengers import BATCHES, Values
from cache_models.network.slicing import slice_module
from cache_models.network.stages import INPUT
from cache_models.network.tracing import Traced

REMEDY = (
    "Python values and control flow must not depend on the values of a tensor: replace a branch "
    "by torch.where, a loop over values by an operation on all of them, `.item()` by the tensor."
)


@dataclass(frozen=True)
class CutPoint:
    """A place that exactly one tensor crosses.

    Args:
        name: the path of the module that ends here, as `named_modules` has it (`layer2.3`), or
            `INPUT`.
        shape: of the activation without the batch.
        with_mask: whether its last channel says which tokens there are.
    """

    name: str
    shape: tuple[int, ...]
    with_mask: bool = False

    def activation_bytes(self, bytes_per_value: int) -> int:
        count = bytes_per_value
        for length in self.shape:
            count *= length
        return count


class CutModel:
    """A traced base DNN and its cut points, in execution order.

    Attributes:
        of_tokens: whether inputs are ids of tokens.
    """

    def __init__(self, base: BaseDNN, traced: Traced):
        self.of_tokens = base.description.of_tokens
        self._graph_module = traced.graph_module
        self._input_shape = tuple(base.description.input_shape)
        one, two = (Values(self._graph_module, base.examples(rows)) for rows in BATCHES)
        self._passengers, found = crossings(self._graph_module, (one, two))
        if not base.description.comparable:  # what a cache there would learn means nothing
            found = [at for at in found if at.node.op != "placeholder"]
        names = _unique([
            INPUT if at.node.op == "placeholder" else known_path(base.module, traced.names[at.node])
            for at in found
        ])  # fmt: skip
        self._crossings = dict(zip(names, found, strict=True))
        self.cut_points = tuple(
            CutPoint(name, at.shape, at.with_mask) for name, at in self._crossings.items()
        )

    def __getitem__(self, name: str) -> CutPoint:
        for cut_point in self.cut_points:
            if cut_point.name == name:
                return cut_point
        raise KeyError(
            f"no cut point {name!r}; there are {', '.join(c.name for c in self.cut_points)}"
        )

    def slices(self, names: Sequence[str]) -> list[nn.Module]:
        """The partitions between the input, the named cut points, and the output.

        Args:
            names: of cut points, in execution order.

        Returns:
            `len(names) + 1` modules; each takes `(B, *shape)` of the cut point before it. The slice
            that ends at `INPUT` is the identity.

        Raises:
            KeyError: a name is not a cut point's.
            ValueError: the names are not in execution order, or one is named twice.
        """
        for name in names:
            self[name]
        order = [c.name for c in self.cut_points if c.name in set(names)]
        if order != list(names):
            raise ValueError(f"cut points must be in execution order: {order}, not {list(names)}")

        modules = []
        nodes = list(self._graph_module.graph.nodes)
        given = next(node for node in nodes if node.op == "placeholder")
        start = Crossing(given, False, self._input_shape)
        for end in [*(self._crossings[name] for name in names), None]:
            last = nodes[-1] if end is None else end.node
            between = nodes[nodes.index(start.node) + 1 : nodes.index(last) + 1]
            modules.append(
                slice_module(self._graph_module, self._passengers, start, between, end)
                if between
                else nn.Identity()
            )
            start = end or start
        return modules

    def input_shape_of(self, name: str | None) -> tuple[int, ...]:
        """Shape without the batch of what the slice after cut point `name` takes."""
        return self._input_shape if name is None else self[name].shape


def cut(base: BaseDNN) -> CutModel:
    """Trace `base` and find its cut points: with torch.fx, or where that cannot, with torch.export.

    Raises:
        UntraceableModelError: neither can; says at which lines, and what to do.
    """
    try:
        return CutModel(base, tracing_fx.trace(base))
    except UntraceableModelError as error:
        by_fx = error
    try:
        return _same(base, CutModel(base, tracing_export.trace(base)))
    except UntraceableModelError as error:
        raise UntraceableModelError(
            f"{base.reference} cannot be cut. {error}. {by_fx}. {REMEDY}"
        ) from error


def _same(base: BaseDNN, model: CutModel) -> CutModel:
    """`model`, if its slices compute what the module does, bit by bit, for batches other than the
    one that was traced."""
    slices = model.slices([point.name for point in model.cut_points])
    with torch.inference_mode():
        for rows in (1, 3):
            inputs = base.examples(rows)
            expected, found = base.module(inputs.clone()), run(slices, inputs)
            if not torch.equal(expected, found):
                largest = float((expected - found).abs().max())
                raise UntraceableModelError(
                    f"What torch.export captured differs by up to "
                    f"{largest:.3g} from the module at a batch of {rows}"
                )
    return model


def _unique(names: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique


def run(slices: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """The slices one after the other: `(B, *input_shape)` → the base DNN's scores `(B, K)`."""
    for module in slices:
        inputs = module(inputs)
    return inputs
