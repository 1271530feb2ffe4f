"""Trace a base DNN with torch.fx: its calls of modules and functions are the graph."""

from collections import Counter

from torch import fx, nn

from cache_models.errors import UntraceableModelError
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.tracing import Traced, line_of, name


def trace(base: BaseDNN) -> Traced:
    """
    Raises:
        UntraceableModelError: torch.fx cannot trace the module; says at which line.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(base.module)
    except Exception as error:
        raise UntraceableModelError(f"torch.fx stops{line_of(error)}: {error}") from error
    inputs = [node.name for node in graph.nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise UntraceableModelError(f"torch.fx sees {len(inputs)} inputs: {', '.join(inputs)}")
    if not isinstance(graph.output_node().args[0], fx.Node):
        raise UntraceableModelError("torch.fx sees more than one output")
    names = {node: _name(node, tracer) for node in graph.nodes}
    return Traced(fx.GraphModule(tracer.root, graph), names)


class _Tracer(fx.Tracer):
    """Remembers which module calls end at which node, innermost first."""

    def __init__(self) -> None:
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
    ended = [path for path in tracer.ends.get(node, []) if tracer.calls[path] == 1]
    within = [path for path, _ in node.meta.get("nn_module_stack", {}).values() if path]
    return name(node, tracer.root, ended, within)
