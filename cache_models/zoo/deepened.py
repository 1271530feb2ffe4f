"""Base DNNs grown from the shipped one: made on demand, kept in the cache folder, not shipped.

`python -m cache_models pretrain --grow resnet34` makes the file that the factory here loads.
"""

from pathlib import Path

from torch import nn

from cache_models.data.datasets import FASHION_CLASSES, cache_home
from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription
from cache_models.network.loading.weights import load_weights
from cache_models.zoo.fashion import describe


def weights_file(name: str) -> Path:
    """Where the weights of the grown model `name` are kept; its card lies beside them."""
    return cache_home() / f"{name}_fashion.safetensors"


def resnet34() -> tuple[nn.Module, ModelDescription]:
    """torchvision's ResNet-34 on Fashion-MNIST, with the weights in the cache folder.

    Raises:
        ModelReferenceError: they have not been made; nothing is trained by accident.
    """
    from torchvision.models import resnet34

    file = weights_file("resnet34")
    if not file.is_file():
        raise ModelReferenceError(
            f"{file} does not exist. Make it with `python -m cache_models pretrain --grow "
            f"resnet34` (half an hour on 2 cores), or set GATI_HOME to the folder that has it"
        )
    module = resnet34(num_classes=len(FASHION_CLASSES))
    module.load_state_dict(load_weights(file))
    return module, describe(crop_size=(224, 224))
