"""Every kind of picture is the same array to who learns and to who serves."""

import asyncio
import io

import numpy as np
import pytest
from PIL import Image

from cache_models.data.samples import open_samples
from cache_models.network.description import ModelDescription
from cache_models.network.preprocessing import Preprocessing
from deployments.config import HttpLimits
from deployments.ingress.inputs import Inputs
from deployments.ingress.workers import Workers

RNG = np.random.default_rng(0)
SIZES = [(10, 14), (200, 300), (1, 9_000), (9_000, 1)]
CROPPED = Preprocessing((48, 48), resize_size=57)
STRAIGHT = Preprocessing((32, 32))
DARK = Preprocessing((48, 48), resize_size=57, background=(10, 20, 30))
OF_GREY = Preprocessing((48, 48), (0.5,), (0.5,), resize_size=57)


def noise(*shape: int) -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, shape, np.uint8))


def transparent(height: int, width: int) -> Image.Image:
    image = noise(height, width, 3)
    image.putalpha(noise(height, width))
    return image


def lying(height: int, width: int) -> dict:
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"exif": exif}


KINDS = {
    "grey.png": lambda *size: (noise(*size), {}),
    "colour.png": lambda *size: (noise(*size, 3), {}),
    "alpha.png": lambda *size: (transparent(*size), {}),
    "grey alpha.png": lambda *size: (transparent(*size).convert("LA"), {}),
    "palette.png": lambda *size: (noise(*size, 3).quantize(8), {"transparency": 3}),
    "deep.png": lambda *size: (Image.fromarray(RNG.integers(0, 2**16, size, np.uint16)), {}),
    "lying.png": lambda *size: (noise(*size, 3), lying(*size)),
    "colour.jpg": lambda *size: (noise(*size, 3), {}),
    "lying.jpg": lambda *size: (noise(*size, 3), lying(*size)),
    "progressive.jpg": lambda *size: (noise(*size, 3), {"progressive": True}),
    "cmyk.jpg": lambda *size: (noise(*size, 3).convert("CMYK"), {}),
    "alpha.webp": lambda *size: (transparent(*size), {}),
    "lying.webp": lambda *size: (noise(*size, 3), lying(*size)),
    "moving.gif": lambda *size: (
        noise(*size, 3),
        {"save_all": True, "append_images": [noise(*size, 3)]},
    ),
    "colour.bmp": lambda *size: (noise(*size, 3), {}),
    "lying.tif": lambda *size: (noise(*size, 3), lying(*size)),
    "colour.ppm": lambda *size: (noise(*size, 3), {}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preprocessing", [CROPPED, STRAIGHT, DARK, OF_GREY])
def test_what_is_learned_from_a_file_is_what_is_served_of_it(kind, preprocessing, tmp_path):
    description = ModelDescription((3, 48, 48), ("cat", "dog"), preprocessing)
    served = []
    inputs = Inputs(description, HttpLimits(), Workers())
    for i, size in enumerate(SIZES):
        image, more = KINDS[kind](*size)
        file = tmp_path / "data" / f"{i} {kind}"
        file.parent.mkdir(exist_ok=True)
        image.save(file, **more)
        given = asyncio.run(inputs.file({}, file.read_bytes()))
        batch = given.batch if given.resized else preprocessing.resize(given.batch)
        served.append(np.broadcast_to(batch, (*batch.shape[:3], len(preprocessing.mean)))[0])
    samples = open_samples(str(tmp_path / "data"), description, tmp_path / "work")
    assert not samples.skipped
    assert np.array_equal(preprocessing.resize(samples.images), served)


def test_what_is_refused_is_skipped(tmp_path):
    description = ModelDescription((3, 32, 32), ("cat", "dog"), STRAIGHT)
    buffer = io.BytesIO()
    Image.new("L", (65_536, 1)).save(buffer, "PNG")
    (tmp_path / "long.png").write_bytes(buffer.getvalue())
    Image.new("F", (4, 4)).save(tmp_path / "float.tif")
    (tmp_path / "text.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0")
    noise(8, 8, 3).save(tmp_path / "fine.png")
    (tmp_path / "short.png").write_bytes((tmp_path / "fine.png").read_bytes()[:100])
    samples = open_samples(str(tmp_path), description, tmp_path / "work")
    assert len(samples.images) == 1
    reasons = "\n".join(samples.skipped)
    assert len(samples.skipped) == 4
    assert "at most 65535" in reasons and "mode 'F'" in reasons and "it may be PNG" in reasons
