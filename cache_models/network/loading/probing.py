"""Whether a module is a classifier whose answers can be the truth.

It is asked about 2, 3 and 1 of the same inputs, and about that one again. Rows of scores have
to come out, one an input, and always the same: the answer to an input must depend on that input
alone, not on its company in a batch, on chance, or on what was asked before.
"""

from functools import partial

import torch
from torch import Tensor, nn

from cache_models.errors import NotAClassifierError
from cache_models.network.description import ModelDescription
from cache_models.network.loading.parting import last_operation, where_they_part

AGREES_TO = 1e-3
"""Of the spread of an input's scores: what another batch size may change by rounding."""
ROUNDING = 1e-6
"""Of the largest score, where all are nearly the same."""
SUMS_TO_ONE_WITHIN = 1e-3


def check_classifier(reference: str, module: nn.Module, description: ModelDescription) -> None:
    """
    Args:
        module: in evaluation mode, float32, on the CPU.

    Raises:
        NotAClassifierError: it is none, or its answers are not always the same; says at which line
            of the module's code, as far as that is known, and what to do.
    """
    inputs = probes(description)
    asked = partial(_asked, reference, module, description)
    two = asked(inputs[1:])
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    three, one, again = asked(inputs), asked(inputs[:1]), asked(inputs[:1])
    _check_scores(reference, module, description, three, inputs)
    if not _alike(again, one):
        raise NotAClassifierError(
            f"{reference} answers the same input otherwise when it is asked again"
            f"{where_they_part(module, inputs[:1], inputs[:1])}. Dropout and noise must be off in "
            f"evaluation mode, as with F.dropout(x, p, self.training), and no call may change the "
            f"next."
        )
    for scores, rows in ((one, inputs[:1]), (two, inputs[1:])):
        if not _alike(scores, three[:1] if len(rows) == 1 else three[1:]):
            raise NotAClassifierError(
                f"{reference} answers an input otherwise when others are in its batch"
                f"{where_they_part(module, rows, torch.cat([rows, inputs]))}. Layers must not look "
                f"at other inputs: batch norms need running statistics."
            )
    if changed := [n for n, b in module.named_buffers() if not torch.equal(b, buffers[n])]:
        raise NotAClassifierError(
            f"{reference} changes its buffer {changed[0]} with every call; in evaluation mode "
            f"nothing may change."
        )


def probes(description: ModelDescription) -> Tensor:
    """Three inputs: noise, faint noise, and zeros, or of tokens such as each may be;
    `(3, *input_shape)` float32."""
    if description.of_tokens:
        return torch.from_numpy(description.examples(3))
    noise = torch.randn(3, *description.input_shape, generator=torch.Generator().manual_seed(0))
    scales = torch.tensor([1, 0.1, 0]).reshape(-1, *(1,) * len(description.input_shape))
    return noise * scales


def _asked(
    reference: str, module: nn.Module, description: ModelDescription, inputs: Tensor
) -> Tensor:
    shape, rows = tuple(inputs.shape), len(inputs)

    def where() -> str:
        return where_they_part(module, inputs, torch.cat([inputs, probes(description)]))

    try:
        with torch.inference_mode():
            scores = module(inputs.clone())  # layers may work in place
    except Exception as error:
        fix = (
            "Correct input_shape in its ModelDescription"
            if rows == 2
            else "It can on 2 at once, and must on any number"
        )
        raise NotAClassifierError(
            f"{reference} cannot run on a float32 tensor of shape {shape}{where()} "
            f"({_first_line(error)}). {fix}."
        ) from error
    expected = (rows, len(description.classes))
    found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    if found in ((rows, 1), (rows,)) and rows > 1:
        raise NotAClassifierError(
            f"{reference} returned one score an input, {found}. Wrap it so that there is one a "
            f"class: torch.stack([-s, s], 1) / 2 of logits s.flatten(), or torch.stack([1 - p, p], "
            f"1) of probabilities, with scores='probabilities'; and give two class names."
        )
    if found != expected:
        raise NotAClassifierError(
            f"{reference} returned {found} for an input of shape {shape}{where()}, not class "
            f"scores of shape {expected}. Wrap the module so that it returns one row of scores per "
            f"input, and give as many class names as there are scores."
        )
    if scores.dtype != torch.float32:
        raise NotAClassifierError(
            f"{reference} returned {scores.dtype} scores; end forward with .float()."
        )
    if rows > 1 and not torch.isfinite(scores[-1]).all():
        raise NotAClassifierError(f"{reference} returned NaN or infinite scores for zero inputs.")
    return scores


def _check_scores(
    reference: str,
    module: nn.Module,
    description: ModelDescription,
    scores: Tensor,
    inputs: Tensor,
) -> None:
    """That they are what the description says: logits or probabilities of one class an input."""
    scores = scores[torch.isfinite(scores).all(1)]
    in_range = bool(((scores >= -ROUNDING) & (scores <= 1 + ROUNDING)).all())
    distributed = in_range and bool(((scores.sum(1) - 1).abs() < SUMS_TO_ONE_WITHIN).all())
    if distributed and description.scores == "logits":
        raise NotAClassifierError(
            f"{reference} returned probabilities, not logits: say scores='probabilities' in its "
            f"ModelDescription."
        )
    sigmoids = in_range and not distributed and "sigmoid" in last_operation(module, inputs[:1])
    if sigmoids or (description.scores == "probabilities" and not distributed):
        raise NotAClassifierError(
            f"{reference} returned scores that do not sum to 1 over the classes"
            f"{', as sigmoids of several labels do' if sigmoids else ''}. There is one answer an "
            f"input: return logits or a softmax, or for several labels make a base DNN of each."
        )


def _alike(some: Tensor, others: Tensor) -> bool:
    spread = others.amax(1) - others.amin(1)
    allowed = AGREES_TO * spread + ROUNDING * others.abs().amax(1)
    differ = (some - others).abs().amax(1) > allowed
    return not bool((differ & torch.isfinite(others).all(1)).any())  # noise may be too much


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
