"""What a base DNN takes and returns: what a user says of a module of their own.

Plans carry it, and who serves one needs no PyTorch.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cache_models.errors import ModelReferenceError
from cache_models.network.preprocessing import Preprocessing
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform


@dataclass(frozen=True)
class ModelDescription:
    """What a module takes and returns.

    Args:
        input_shape: of one input tensor without the batch, such as (3, 224, 224), float32.
            Of token inputs `(number of them, tokens)`.
        classes: the names of the classes, in the order of the scores.
        preprocessing: how a decoded image becomes such a tensor; None where inputs are no images.
        scores: whether the module returns logits or probabilities.
        reader: how a sound or a text becomes such a tensor; None where inputs are neither.
        token_inputs: names of the arguments of a module that takes several tensors of whole
            numbers, `(B, tokens)` int64 each, such as ("input_ids", "attention_mask"). A request
            carries them as the rows of one tensor. With a reader of texts they are its `inputs`,
            or none, where the module takes that one tensor itself.

    Raises:
        ModelReferenceError: these contradict each other.
    """

    input_shape: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessing: Preprocessing | None = None
    scores: Literal["logits", "probabilities"] = "logits"
    reader: Waveform | Tokens | None = None
    token_inputs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Classes of one name get their number: `crane (134)` and `crane (517)`. So nobody who
        reads names takes one for the other, and no table hides one."""
        self._check_rows()
        counts = Counter(self.classes)
        classes = (f"{c} ({i})" if counts[c] > 1 else str(c) for i, c in enumerate(self.classes))
        object.__setattr__(self, "classes", tuple(classes))

    def _check_rows(self) -> None:
        """Rows in another order than the arguments' would give the mask for the ids."""
        shape, names = tuple(self.input_shape), tuple(self.token_inputs)
        match self.reader:
            case Tokens(inputs=inputs, length=length):
                read: tuple[int, ...] | None = (len(inputs), length)
            case Waveform(samples=samples):
                read, inputs = (samples,), ()
            case _:
                read, inputs = None, names
        if names and names != tuple(inputs):
            raise ModelReferenceError(
                f"token_inputs are {', '.join(names)}, but the reader makes "
                f"{', '.join(inputs) or 'none'}: give both the same names in the same order"
            )
        if read is not None and shape != read:
            raise ModelReferenceError(
                f"input_shape is {shape}, but the reader makes {read}: they must be the same"
            )
        if names and (len(shape) != 2 or shape[0] != len(names)):
            raise ModelReferenceError(
                f"input_shape is {shape}; with {len(names)} token_inputs it is "
                f"({len(names)}, tokens)"
            )

    @property
    def of_tokens(self) -> bool:
        """Whether inputs are ids of tokens."""
        return bool(self.token_inputs) or isinstance(self.reader, Tokens)

    @property
    def comparable(self) -> bool:
        """Whether a distance between inputs means something, as it does between pictures, but not
        between ids of tokens, or waves that are the same but for a shift."""
        return not self.of_tokens and not isinstance(self.reader, Waveform)

    def examples(self, rows: int, seed: int = 0) -> np.ndarray:
        """Inputs to try a module with, `(rows, *input_shape)` float32: normally distributed, or of
        tokens ones and zeros, of which the first is a one, so that no mask is empty."""
        rng = np.random.default_rng(seed)
        shape = (rows, *self.input_shape)
        if not self.of_tokens:
            return rng.standard_normal(shape, np.float32)
        tokens = rng.integers(0, 2, shape).astype(np.float32)
        tokens[..., 0] = 1
        return tokens

    def inputs(self, given: np.ndarray, resized: bool = False) -> np.ndarray:
        """Decoded images `(B, h, w, C)` uint8, or ready inputs, → `(B, *input_shape)` float32,
        contiguous.

        Args:
            resized: whether images have the size of `input_shape` already.
        """
        if given.dtype != np.uint8 or self.preprocessing is None:
            return np.ascontiguousarray(given, np.float32)
        preprocessing = self.preprocessing
        return preprocessing.normalise(given) if resized else preprocessing(given)
