"""From a picture's file to its pixels; the same when caches are learned and when served.

1. `open_picture` reads the header: of the formats in `FORMATS`, and no others.
2. `flat` decodes the first frame, turns it upright as its EXIF says, and lays what is transparent
   on a background: an image of mode L or RGB.
3. `pixels` makes an array of it.

Colour profiles are not applied. Pillow leaves the interpreter to other threads while it decodes or
converts, but not while it copies or composites, so that is done in bands.
"""

import io
import math
import struct

import numpy as np
from PIL import ExifTags, Image
from PIL import TiffImagePlugin as _tiff
from PIL import WebPImagePlugin as _webp  # noqa: F401  unless imported, Pillow imports 40 others

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""As Pillow names them. JPEG includes MPO, which phones make of two pictures, and PPM also PGM."""
MOST_SIDE_PIXELS = 65_535
"""As of a JPEG. Longer pictures are mostly rows, each of which costs memory of its own."""
MOST_SCANS = 200
"""Of a progressive JPEG, which has about ten. A dozen bytes are enough for one, and each costs as
much time as all pixels."""
MOST_TILE_PIXELS = 2_048**2
"""Of a TIFF's tiles, which are decoded whole, however little of one the picture is; most have 256
pixels a side."""
WHITE = (255, 255, 255)

_PNG = b"\x89PNG\r\n\x1a\n"
_SCAN = b"\xff\xda"
"""Where one begins; within it these bytes cannot stand."""
_NOTES = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")
"""Chunks of a PNG that say nothing of its pixels. They may be long, and expand a thousandfold."""
_GREY = ("1", "L", "LA", "La")
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
_COLOUR = ("P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By orientation in EXIF."""
_BAND_PIXELS = 128 * 1024


class UnsupportedPicture(ValueError):
    """A picture of a kind that is not read; the message says which are."""


class PictureTooLarge(ValueError):
    """A picture with too many pixels, as its header says."""


def open_picture(data: bytes) -> Image.Image:
    """A picture of which the header alone has been read.

    Raises:
        UnsupportedPicture, PictureTooLarge
    """
    try:
        image = Image.open(io.BytesIO(_without_notes(data)), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise PictureTooLarge(f"the image has too many pixels: {error}") from error
    except Exception as error:
        raise UnsupportedPicture(f"no readable image; it may be {', '.join(FORMATS)}") from error
    deep = image.mode in _DEEP or (image.mode == "I" and image.format == "PPM")
    if not deep and image.mode not in _GREY + _COLOUR:
        raise UnsupportedPicture(
            f"the {image.format} image has pixels of the mode {image.mode!r}; they may be grey, a "
            f"palette's, RGB or CMYK, of at most 16 bits a channel"
        )
    if "progressive" in image.info and data.count(_SCAN) > MOST_SCANS:
        raise UnsupportedPicture(
            f"the JPEG image goes over its pixels more than {MOST_SCANS} times; save it again"
        )
    if image.format == "TIFF" and _tile_pixels(image) > MOST_TILE_PIXELS:
        raise PictureTooLarge(
            f"the TIFF image is of tiles of more than {MOST_TILE_PIXELS} pixels each; save it again"
        )
    if max(image.size) > MOST_SIDE_PIXELS:
        raise PictureTooLarge(
            f"the image has {image.width}x{image.height} pixels; a side may have at most "
            f"{MOST_SIDE_PIXELS}"
        )
    return image


def flat(
    image: Image.Image, channels: int, background: tuple[int, int, int] = WHITE
) -> Image.Image:
    """A picture upright, without transparency, of mode L or RGB.

    A grey one keeps its one channel, since repeating it is the base DNN's preprocessing. Of 16 bits
    the upper 8 are kept.

    Args:
        image: as `open_picture` opened it, or in memory.
        channels: that the base DNN takes; 1 turns colour to grey.
        background: RGB of what transparent pixels are laid on.

    Raises:
        OSError, ValueError, SyntaxError: the file behind the image is damaged.
    """
    image.load()
    if image.im.mode != image.mode:  # as Pillow leaves a GIF whose frame has another palette
        raise ValueError(f"its pixels are of the mode {image.im.mode!r}, not {image.mode!r}")
    image = _upright(image)
    deep = image.mode.startswith("I")
    transparent = image.has_transparency_data
    grey = (image.mode in _GREY or deep) and not (transparent and len(set(background)) > 1)
    mode = "L" if channels == 1 or grey else "RGB"
    if not (deep or transparent):
        return image if image.mode == mode else image.convert(mode)
    whole = Image.new(mode, image.size)
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(_laid(_of_8_bits(band) if deep else band, background, mode), (0, top))
    return whole


def pixels(
    image: Image.Image, channels: int, background: tuple[int, int, int] = WHITE
) -> np.ndarray:
    """A picture as `(h, w, 1 or 3)` uint8; see `flat`."""
    return as_array(flat(image, channels, background))


def as_array(image: Image.Image) -> np.ndarray:
    """An image of mode L or RGB as `(h, w, 1 or 3)` uint8."""
    array = np.asarray(image)
    return array[..., None] if array.ndim == 2 else array


def _without_notes(data: bytes) -> bytes:
    if not data.startswith(_PNG):
        return data
    kept, start, at = [], 0, len(_PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind in _NOTES:
            kept.append(data[start:at])
            start = end
        at = end
    return b"".join([*kept, data[start:]]) if kept else data


def _tile_pixels(image: Image.Image) -> int:
    """0 where there are no tiles."""
    tags = getattr(image, "tag_v2", {})
    sides = (tags.get(each, 0) for each in (_tiff.TILEWIDTH, _tiff.TILELENGTH))
    return math.prod(side if isinstance(side, int) else max(side) for side in sides)


def _upright(image: Image.Image) -> Image.Image:
    """As EXIF says, and no other description, as browsers do; what is no EXIF says nothing. Pillow
    has turned a TIFF already."""
    if "exif" not in image.info:
        return image
    exif = Image.Exif()
    try:
        exif.load(image.info["exif"])
        method = _UPRIGHT.get(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:
        return image
    if method is None:
        return image
    image = image.transpose(method)
    del image.info["exif"]  # of what was not upright
    return image


def _of_8_bits(band: Image.Image) -> Image.Image:
    """Of an image of 16 bits, transparent where that says so."""
    deep = np.asarray(band)
    image = Image.fromarray((deep >> 8).astype(np.uint8))
    if (clear := band.info.get("transparency")) is not None:
        image.putalpha(Image.fromarray(np.where(deep == clear, 0, 255).astype(np.uint8)))
    return image


def _laid(band: Image.Image, background: tuple[int, int, int], mode: str) -> Image.Image:
    if not band.has_transparency_data:
        return band.convert(mode)
    if band.mode == "La":
        band = band.convert("LA")
    under = Image.new("RGBA", band.size, (*background, 255))
    return Image.alpha_composite(under, band.convert("RGBA")).convert(mode)
