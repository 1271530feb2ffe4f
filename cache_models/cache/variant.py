"""The names of the kinds of predictor, for plans: what they are is in `predictors`."""

from typing import Literal

from pydantic import BaseModel


class Variant(BaseModel, frozen=True):
    """One kind of predictor.

    Attributes:
        family: `pool`, `fc`, `conv` or `ngram`.
        size: pool: a map is pooled to `size` x `size`, tokens to `size` and the first; fc: width of
            the hidden layer; conv and ngram: channels of the convolution.
    """

    family: Literal["pool", "fc", "conv", "ngram"]
    size: int

    @property
    def name(self) -> str:
        return f"{self.family}-{self.size}"
