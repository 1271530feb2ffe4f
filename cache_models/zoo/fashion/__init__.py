"""The shipped default: torchvision's ResNet-18 on Fashion-MNIST, its caches, and sample images.

`resnet18_fashion.safetensors` (fp16) and its card come from `python -m cache_models pretrain`,
`store/` from `python -m cache_models build`; `sample.npz` holds test images that tuned nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache_models.data.datasets import FASHION_CLASSES
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import nn

FOLDER = Path(__file__).parent
WEIGHTS = FOLDER / "resnet18_fashion.safetensors"
STORE = FOLDER / "store"


def default() -> tuple[nn.Module, ModelDescription]:
    """The shipped base DNN; its fp16 weights are run in float32."""
    from safetensors.torch import load_file
    from torchvision.models import resnet18

    module = resnet18(num_classes=len(FASHION_CLASSES))
    module.load_state_dict(load_file(WEIGHTS))
    return module, describe(crop_size=(224, 224))


def describe(crop_size: tuple[int, int]) -> ModelDescription:
    """Grey images of any size, resized to `crop_size`, three channels, normalised as ImageNet."""
    return ModelDescription(
        input_shape=(3, *crop_size),
        classes=FASHION_CLASSES,
        preprocessing=Preprocessing(crop_size),
    )


def sample() -> tuple[np.ndarray, np.ndarray]:
    """Test images `(N, 28, 28, 1)` uint8 and labels `(N,)` int64, Fashion-MNIST's first N."""
    with np.load(FOLDER / "sample.npz", allow_pickle=False) as data:
        return data["images"], data["labels"].astype(np.int64)


def trained_on() -> tuple[np.ndarray, np.ndarray]:
    """The 50,000 training images that the base DNN was trained on."""
    from cache_models.zoo.pretrain import TRAIN_IMAGES

    return _training_images(slice(TRAIN_IMAGES))


def held_out() -> tuple[np.ndarray, np.ndarray]:
    """The 10,000 training images that the base DNN has not seen: what the caches learn from."""
    from cache_models.zoo.pretrain import TRAIN_IMAGES

    return _training_images(slice(TRAIN_IMAGES, None))


def _training_images(part: slice) -> tuple[np.ndarray, np.ndarray]:
    from cache_models.data.datasets import fashion_mnist

    images, labels = fashion_mnist(train=True)
    return images[part], labels[part]
