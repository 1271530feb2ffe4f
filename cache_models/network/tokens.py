"""From a text to the base DNN's inputs; the same when caches are learned and when served."""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache_models.errors import DataError, ModelReferenceError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

INPUTS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
"""What a module may take, by its argument's name, and what `tokenizers` calls it."""
CHARACTERS = 128
"""A text is cut at so many a token before it is looked at, so that a long one takes no longer."""


@dataclass(frozen=True)
class Tokens:
    """Tokens of a text: cut at a fixed length, and padded to it.

    Args:
        tokenizer: a `tokenizer.json`, as the library `tokenizers` writes it: `<package>:<file in
            it>`, or an absolute path, which means the same file to every replica.
        length: tokens of an input, those that stand for its begin and end included.
        inputs: which of `INPUTS` the module takes, in this order.
    """

    tokenizer: str
    length: int
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")

    def read(self, text: str) -> np.ndarray:
        """`(len(inputs), length)` float32, in which every whole number of a vocabulary is exact.

        Raises:
            DataError: the text is empty.
            ModelReferenceError: the tokenizer cannot be read.
        """
        if not text.strip():
            raise DataError("the text is empty; send at least a word")
        encoding = _loaded(self.tokenizer, self.length).encode(text[: CHARACTERS * self.length])
        return np.array([getattr(encoding, INPUTS[name]) for name in self.inputs], np.float32)

    def text(self, row: np.ndarray) -> str:
        """What an input, `(len(inputs), length)`, was read from, as far as its tokens tell."""
        tokenizer = _loaded(self.tokenizer, self.length)
        assert tokenizer.padding is not None
        ids = row[self.inputs.index("input_ids")].astype(int)
        ids = ids[ids != tokenizer.padding["pad_id"]]
        return tokenizer.decode(ids.tolist(), skip_special_tokens=True)


@cache
def _loaded(reference: str, length: int) -> "Tokenizer":
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(_file(reference)))
    except Exception as error:  # the library raises nothing narrower
        raise ModelReferenceError(
            f"the tokenizer {reference!r} cannot be read ({error}); it may be an absolute path of "
            f"a tokenizer.json, or <package>:<file in it>, and needs pip install tokenizers"
        ) from error
    padding = tokenizer.padding or {}
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(
        length=length,
        pad_id=padding.get("pad_id", tokenizer.token_to_id("[PAD]") or 0),
        pad_token=padding.get("pad_token", "[PAD]"),
    )
    return tokenizer


def _file(reference: str) -> Path:
    package, colon, inner = reference.partition(":")
    if not colon:
        return Path(reference)
    found = importlib.util.find_spec(package)  # which does not run it
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"there is no package {package!r}")
    return Path(found.submodule_search_locations[0]) / inner
