"""Trace a base DNN with torch.export: what its Python does with a batch of any size is the graph.

torch.export runs the module's Python, so that it may look at shapes, make masks, and take any way
that does not depend on the values of a tensor. The graph's operations are those that the module
itself runs, in the same order.
"""

import warnings
from collections import defaultdict

import torch
from torch import fx, nn
from torch.export import Dim

from cache_models.errors import UntraceableModelError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.tracing import Traced, line_of, name

ATEN = torch.ops.aten
EXAMPLE_ROWS = 2
CHECKS = ("_guards_fn", "_assert_scalar", "_assert_tensor_metadata", "_assert_async",
          "sym_constrain_range")  # fmt: skip
"""Nodes that compute nothing."""


def trace(base: BaseDNN) -> Traced:
    """
    Raises:
        UntraceableModelError: torch.export cannot capture the module, or not for every batch size;
            says at which line.
    """
    inputs = base.examples(EXAMPLE_ROWS)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                base.module, (inputs,), dynamic_shapes=({0: Dim("batch")},), strict=False
            )
            graph_module = _plain(program.module())
    except UntraceableModelError:
        raise
    except Exception as error:  # of many kinds, its own and those of what it runs
        why = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise UntraceableModelError(f"torch.export stops{line_of(error)}: {why}") from error
    return Traced(graph_module, _names(graph_module.graph, base.module))


def _plain(exported: fx.GraphModule) -> fx.GraphModule:
    """With one output, and without what computes nothing."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in exported.graph.nodes:
        if node.op == "output":
            outputs = [value for value in node.all_input_nodes]
            if len(outputs) != 1:
                raise UntraceableModelError(f"torch.export sees {len(outputs)} outputs")
            graph.output(copies[outputs[0]])
        elif not any(check in str(node.target) for check in CHECKS):
            copies[node] = graph.node_copy(node, copies.__getitem__)
            if node.target is ATEN.view.default:  # what has travelled may lie otherwise in memory
                copies[node].target = ATEN.reshape.default
    graph.eliminate_dead_code()
    return fx.GraphModule(exported, graph)


def _names(graph: fx.Graph, root: nn.Module) -> dict[fx.Node, str]:
    """From the graph's own record of the modules that each operation is in."""
    paths = {path for path, _ in root.named_modules(remove_duplicate=False) if path}
    within: dict[fx.Node, dict[str, str]] = {}
    last: dict[str, fx.Node] = {}
    calls: defaultdict[str, set[str]] = defaultdict(set)
    for node in graph.nodes:
        stack = node.meta.get("nn_module_stack", {}) if node.op == "call_function" else {}
        within[node] = {call: path for call, (path, _) in stack.items() if path in paths}
        for call, path in within[node].items():
            last[call] = node
            calls[path].add(call)
    return {
        node: name(
            node,
            root,
            [path for call, path in reversed(inside.items())
             if last[call] is node and len(calls[path]) == 1],
            list(inside.values()),
        )
        for node, inside in within.items()
    }  # fmt: skip
