"""Images become inputs as torchvision's presets make them."""

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from cache_models.network.preprocessing import Preprocessing


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 37, 91), (3, 500, 333), (1, 256, 256)])
@pytest.mark.parametrize("resize", [None, 256, 232])
def test_resizing_is_torchvisions(image, resize):
    images = torch.randint(
        0, 256, (2, *image), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    if resize is None:
        expected = F.resize(images, [224, 224], antialias=True)
    else:
        expected = F.center_crop(F.resize(images, [resize], antialias=True), [224, 224])
    assert torch.equal(Preprocessing((224, 224), resize_size=resize).resize(images), expected)


@pytest.mark.parametrize("image", [(1, 28, 28), (3, 37, 91), (3, 500, 333), (1, 256, 256)])
@pytest.mark.parametrize("resize", [None, 256, 232])
def test_an_image_kept_as_a_sample_becomes_the_same_input(image, resize):
    images = torch.randint(
        0, 256, (2, *image), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
    )
    preprocessing = Preprocessing((224, 224), resize_size=resize)
    kept = preprocessing.shrink(images)
    assert tuple(kept.shape[-2:]) == preprocessing.kept_size
    assert torch.equal(preprocessing(kept), preprocessing(images))
