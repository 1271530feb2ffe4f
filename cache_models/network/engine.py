"""The form in which slices and predictors run: what inference alone allows, and nothing stored so.

1. Batch norms are folded into the convolutions before them, and dropout is left out. A slice may
   begin with a batch norm whose convolution ends the slice before: that one stays.
2. Channels last, in which convolutions need no reordering of their inputs.
3. On a CPU with oneDNN, weights are reordered once, not at every call, and the addition and ReLU
   that directly follow a convolution are part of it; or torch.compile does all of this its way.

Truth is the unmodified module, from which results differ by float32 rounding alone.
"""

import copy
import logging
import operator

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cache_models.errors import CompilationError
from cache_models.network.layout import channels_last

FOLDABLE = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}
DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
ADDITIONS = (operator.add, operator.iadd, torch.add)
AGREES_TO = 1e-3
"""Of the largest result: far above rounding, far below what a wrong weight does."""

logger = logging.getLogger(__name__)


def fast(
    module: nn.Module,
    shape: tuple[int, ...],
    device: torch.device | str = "cpu",
    compiled: bool = False,
) -> nn.Module:
    """A copy of `module` to run on `device`, for batches of any size; `module` stays as it is.

    Args:
        module: one that torch.fx can trace, such as a slice, in evaluation mode.
        shape: of its input without the batch.
        compiled: by torch.compile, which takes half a minute here and at other batch sizes again.

    Raises:
        CompilationError: torch.compile does not work on this machine.
    """
    if isinstance(module, nn.Identity):
        return module
    graph_module = copy.deepcopy(module)
    if not isinstance(module, fx.GraphModule):
        graph_module = fx.symbolic_trace(graph_module)
    for parameter in graph_module.parameters():
        parameter.requires_grad_(False)
    _fold(graph_module)
    folded = channels_last(graph_module.to(device))
    if compiled:
        return _compiled(folded, shape, device)
    if torch.device(device).type != "cpu" or not torch.backends.mkldnn.is_available():
        return folded
    return _packed(folded, shape)


def _compiled(folded: nn.Module, shape: tuple[int, ...], device: torch.device | str) -> nn.Module:
    compiled = torch.compile(folded, options={"freezing": True})
    try:
        with torch.inference_mode():
            compiled(channels_last(torch.zeros(1, *shape, device=device)))
    except RuntimeError as error:
        raise CompilationError(
            f"torch.compile does not work on this machine ({error}); on a CPU it needs a C++ "
            f"compiler such as g++. Install one, or leave `compile: false`."
        ) from error
    return compiled


def _fold(module: fx.GraphModule) -> None:
    """Fold batch norms into the convolutions before them, and leave out dropout, in place."""
    nodes = list(module.graph.nodes)
    for i, node in enumerate(nodes):
        called = _called(module, node)
        before = node.args[0] if called is not None and node.args else None
        if isinstance(called, DROPOUT) and not called.training:
            node.replace_all_uses_with(before)
            module.graph.erase_node(node)
        elif isinstance(before, fx.Node) and len(before.users) == 1:
            convolution = _called(module, before)
            if FOLDABLE.get(type(convolution)) is type(called) and _is_fixed(called):
                # Copies, one a call: either module may be called elsewhere, too.
                module.add_module(f"folded_{i}", fuse_conv_bn_eval(convolution, called))
                before.target = f"folded_{i}"
                node.replace_all_uses_with(before)
                module.graph.erase_node(node)
    module.delete_all_unused_submodules()
    module.recompile()


def _called(module: fx.GraphModule, node: object) -> nn.Module | None:
    """The module that `node` calls; None if it calls none, or one with hooks."""
    if not isinstance(node, fx.Node) or node.op != "call_module":
        return None
    called = module.get_submodule(node.target)
    return None if called._forward_hooks or called._forward_pre_hooks else called


def _is_fixed(norm: nn.Module) -> bool:
    return not norm.training and norm.running_mean is not None


class PackedConv2d(nn.Module):
    """A convolution whose weights lie as oneDNN wants them, with what follows it."""

    def __init__(self, convolution: nn.Conv2d, shape: tuple[int, ...], relu: bool):
        super().__init__()
        geometry = convolution.padding, convolution.stride, convolution.dilation
        self._geometry = [*map(list, geometry), convolution.groups]
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            convolution.weight.detach(), *self._geometry, list(shape)
        )
        self._bias = None if convolution.bias is None else convolution.bias.detach()
        self._relu = relu

    def forward(self, inputs: Tensor, added: Tensor | None = None) -> Tensor:
        weights = self._weight, self._bias, *self._geometry
        if added is None:
            after = "relu" if self._relu else "none"
            return torch.ops.mkldnn._convolution_pointwise(inputs, *weights, after, [], "")
        after = "relu" if self._relu else None  # "none" is refused here
        return torch.ops.mkldnn._convolution_pointwise.binary(
            inputs, added, *weights, "add", 1.0, after, [], ""
        )


def _packed(folded: fx.GraphModule, shape: tuple[int, ...]) -> fx.GraphModule:
    """`folded` with packed convolutions, or as it is where they are none or do not work here.

    The operations are those that torch.compile uses; PyTorch promises nothing of them, so the
    outcome is checked.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        inputs = channels_last(torch.randn(1, *shape, generator=generator))
        try:
            packed = copy.deepcopy(folded)
            ShapeProp(packed).propagate(inputs.clone())
            _pack(packed)
            expected, got = folded(inputs.clone()), packed(inputs.clone())
        except (RuntimeError, TypeError, AttributeError) as error:
            logger.warning("convolutions are not packed: %s", error)
            return folded
    if (got - expected).abs().max() <= AGREES_TO * expected.abs().max().clamp(min=1e-6):
        return packed
    logger.warning("convolutions are not packed: results would differ")
    return folded


def _pack(module: fx.GraphModule) -> None:
    for i, node in enumerate(list(module.graph.nodes)):
        convolution = _called(module, node)
        if not _can_be_packed(convolution):
            continue
        last, added, relu = node, None, False
        if (after := _next(last)) is not None and (added := _added(after, last)) is not None:
            last = after
        if (after := _next(last)) is not None and _is_relu(module, after):
            last, relu = after, True
        shape = tuple(node.args[0].meta["tensor_meta"].shape)
        module.add_module(f"packed_{i}", PackedConv2d(convolution, shape, relu))
        with module.graph.inserting_before(node):
            inputs = (node.args[0],) if added is None else (node.args[0], added)
            packed = module.graph.call_module(f"packed_{i}", inputs)
        packed.meta = dict(last.meta)
        last.replace_all_uses_with(packed)
        while last is not packed:
            previous = last.prev
            module.graph.erase_node(last)
            last = previous
    module.delete_all_unused_submodules()
    module.recompile()


def _can_be_packed(convolution: nn.Module | None) -> bool:
    return (
        type(convolution) is nn.Conv2d
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
        and convolution.weight.dtype == torch.float32
    )


def _next(node: fx.Node) -> fx.Node | None:
    """The node directly after `node`, if it alone reads it: with nothing between them, no operation
    in place can come between them either."""
    return node.next if list(node.users) == [node.next] else None


def _added(addition: fx.Node, to: fx.Node) -> fx.Node | None:
    """What `addition` adds to `to`: a tensor of the same shape, and not one that it overwrites for
    others to read. None if it is no such addition."""
    if addition.op != "call_function" or addition.target not in ADDITIONS or addition.kwargs:
        return None
    others = [value for value in addition.args if value is not to]
    if len(addition.args) != 2 or len(others) != 1 or not isinstance(others[0], fx.Node):
        return None
    (other,) = others
    overwritten = addition.target is operator.iadd and addition.args[0] is other
    same = [getattr(n.meta.get("tensor_meta"), "shape", None) for n in (other, addition)]
    if (overwritten and len(other.users) > 1) or same[0] is None or same[0] != same[1]:
        return None
    return other


def _is_relu(module: fx.GraphModule, node: fx.Node) -> bool:
    return type(_called(module, node)) is nn.ReLU or (
        node.op == "call_function" and node.target in (F.relu, torch.relu)
    )
