"""Cut a base DNN at the places that exactly one tensor crosses, with torch.fx.

A *cut point* is a node of the traced graph after which that node's tensor is the only value that
later nodes still need. Cutting there leaves slices that take one tensor and return one tensor, and
that run the very same operations in the same order as the whole module. The first cut point is the
input itself, where nothing has been computed yet.
"""

import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from cache_models.errors import UntraceableModelError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.stages import INPUT


@dataclass(frozen=True)
class CutPoint:
    """A place that exactly one tensor crosses.

    Args:
        name: the path of the module that ends here, as `named_modules` has it (`layer2.3`), or
            `INPUT`.
        shape: of the activation without the batch.
    """

    name: str
    shape: tuple[int, ...]

    def activation_bytes(self, bytes_per_value: int) -> int:
        count = bytes_per_value
        for length in self.shape:
            count *= length
        return count


class CutModel:
    """A traced base DNN and its cut points, in execution order."""

    def __init__(self, graph_module: fx.GraphModule, nodes: dict[str, fx.Node], input_shape):
        self._graph_module = graph_module
        self._nodes = nodes
        self._input_shape = tuple(input_shape)
        self.cut_points = tuple(
            CutPoint(name, tuple(node.meta["tensor_meta"].shape[1:]))
            for name, node in nodes.items()
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
        start = next(node for node in nodes if node.op == "placeholder")
        for end in [*(self._nodes[name] for name in names), nodes[-1]]:
            between = nodes[nodes.index(start) + 1 : nodes.index(end) + 1]
            modules.append(_slice(self._graph_module, start, between) if between else nn.Identity())
            start = end
        return modules

    def input_shape_of(self, name: str | None) -> tuple[int, ...]:
        """Shape without the batch of what the slice after cut point `name` takes."""
        return self._input_shape if name is None else self[name].shape


def cut(base: BaseDNN) -> CutModel:
    """Trace `base` and find its cut points.

    Raises:
        UntraceableModelError: torch.fx cannot trace the module.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(base.module)
    except Exception as error:
        raise UntraceableModelError(_why_untraceable(base, error)) from error
    graph_module = fx.GraphModule(tracer.root, graph)
    inputs = [node for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise UntraceableModelError(
            f"{base.reference}: forward takes {len(inputs)} inputs "
            f"({', '.join(node.name for node in inputs)}); wrap it in a module that takes one."
        )
    with torch.inference_mode():
        ShapeProp(graph_module).propagate(torch.zeros(2, *base.description.input_shape))

    nodes = list(graph.nodes)
    last_use = {node: max((nodes.index(user) for user in node.users), default=-1) for node in nodes}
    found = []
    live: set[fx.Node] = set()
    for position, node in enumerate(nodes[:-2]):
        if node.op == "get_attr":
            continue  # a parameter: whichever slice uses it holds it
        live = {n for n in live if last_use[n] > position}
        if last_use[node] > position:
            live.add(node)
        if live == {node} and _is_batch_of_floats(node):
            found.append(node)
    names = _unique([INPUT if n.op == "placeholder" else _name(n, tracer) for n in found])
    return CutModel(
        graph_module, dict(zip(names, found, strict=True)), base.description.input_shape
    )


class _Tracer(fx.Tracer):
    """Remembers which module calls end at which node, innermost first."""

    def __init__(self):
        super().__init__()
        self.ends: dict[fx.Node, list[str]] = {}
        self.calls: Counter[str] = Counter()

    def call_module(self, m: nn.Module, forward, args, kwargs):
        path = self.path_of_module(m)
        out = super().call_module(m, forward, args, kwargs)
        self.calls[path] += 1
        if isinstance(out, fx.Proxy):
            self.ends.setdefault(out.node, []).append(path)
        return out


def _name(node: fx.Node, tracer: _Tracer) -> str:
    """The outermost module that ends at `node` and is a layer of its own, not a mere container."""
    paths = [path for path in tracer.ends.get(node, []) if tracer.calls[path] == 1]
    for path in reversed(paths):
        if type(tracer.root.get_submodule(path)) is not nn.Sequential:
            return path
    if paths:
        return paths[0]
    enclosing = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
    return ".".join([*enclosing[-1:], node.name])


def _unique(names: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique


def _is_batch_of_floats(node: fx.Node) -> bool:
    meta = node.meta.get("tensor_meta")
    return (
        hasattr(meta, "shape")
        and len(meta.shape) >= 2
        and meta.shape[0] == 2  # the batch that shapes were propagated with
        and meta.dtype == torch.float32
    )


def _slice(whole: fx.GraphModule, start: fx.Node, between: list[fx.Node]) -> fx.GraphModule:
    """The nodes `between` as a module of its own that takes the value of `start`."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {start: graph.placeholder("activation")}

    def copy(node: fx.Node) -> fx.Node:
        if node not in copies and node.op == "get_attr":
            copies[node] = graph.node_copy(node)
        return copies[node]

    for node in between:
        if node.op == "output":
            graph.output(fx.map_arg(node.args[0], copy))
        elif node.op != "get_attr":
            copies[node] = graph.node_copy(node, copy)
    if between[-1].op != "output":
        graph.output(copies[between[-1]])
    module = fx.GraphModule(whole, graph)
    module.delete_all_unused_submodules()
    return module.eval()


def _why_untraceable(base: BaseDNN, error: Exception) -> str:
    """Names the line of the user's own code at which tracing failed."""
    library = ("/torch/fx/", "/torch/nn/modules/module.py", __file__)
    frames = [
        f for f in traceback.extract_tb(error.__traceback__)
        if not any(part in f.filename for part in library)
    ]  # fmt: skip
    where = (
        f"at {frames[-1].filename}:{frames[-1].lineno} `{frames[-1].line}`" if frames else "unknown"
    )
    return (
        f"{base.reference} cannot be traced by torch.fx: operation {where}: {error}. Control flow "
        f"and Python values must not depend on tensor data. Replace the branch with torch.where, "
        f"take shapes from the configuration, or put the operation into a function marked with "
        f"torch.fx.wrap (https://docs.pytorch.org/docs/stable/fx.html, Limitations of Symbolic "
        f"Tracing)."
    )


def run(slices: Sequence[nn.Module], inputs: Tensor) -> Tensor:
    """The slices one after the other: `(B, *input_shape)` → the base DNN's scores `(B, K)`."""
    for module in slices:
        inputs = module(inputs)
    return inputs
