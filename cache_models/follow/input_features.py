"""Features at the input, as a build records them: nothing of the base DNN is needed for them."""

import numpy as np
import torch

from cache_models.network.description import ModelDescription
from cache_models.network.features import extract
from cache_models.network.layout import channels_last
from cache_models.network.preprocessing import as_tensor


@torch.inference_mode()
def input_features(
    description: ModelDescription, inputs: np.ndarray, resized: bool = False
) -> np.ndarray:
    """`(B, *feature_shape)` float16.

    Args:
        inputs: decoded images `(B, h, w, C)` uint8, or `(B, *input_shape)` float32.
        resized: whether images have the size of `input_shape` already.
    """
    tensors = description.inputs(as_tensor(inputs), resized)
    return extract(channels_last(tensors)).numpy()
