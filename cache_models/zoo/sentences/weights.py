"""A BERT's weights by the names that this encoder has for them."""

import re
from collections.abc import Mapping

from torch import Tensor

NAMES = {
    r"embeddings\.word_embeddings\.": "embeddings.words.",
    r"embeddings\.position_embeddings\.": "embeddings.positions.",
    r"embeddings\.LayerNorm\.": "embeddings.norm.",
    r"encoder\.layer\.(\d+)\.attention\.self\.": r"layers.\1.",
    r"encoder\.layer\.(\d+)\.attention\.output\.dense\.": r"layers.\1.joined.",
    r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.": r"layers.\1.attended.",
    r"encoder\.layer\.(\d+)\.intermediate\.dense\.": r"layers.\1.up.",
    r"encoder\.layer\.(\d+)\.output\.dense\.": r"layers.\1.down.",
    r"encoder\.layer\.(\d+)\.output\.LayerNorm\.": r"layers.\1.norm.",
}
OF_SENTENCES = "embeddings.token_type_embeddings.weight"
"""Of which the first is that of a text that is one sentence."""


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the encoder; there is no pooler in it."""
    ours = {"embeddings.sentence": weights[OF_SENTENCES][0]}
    for name, value in weights.items():
        for theirs, own in NAMES.items():
            if re.match(theirs, name):
                ours[re.sub(theirs, own, name)] = value
    return ours
