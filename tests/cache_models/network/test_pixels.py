"""Pictures as phones, scanners and drawing programs make them become what every viewer shows."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cache_models.network.pixels import (
    MOST_SIDE_PIXELS,
    PictureTooLarge,
    UnsupportedPicture,
    open_picture,
    pixels,
)

RNG = np.random.default_rng(0)
COLOUR = Image.fromarray(RNG.integers(0, 256, (12, 20, 3), np.uint8))
GREY = COLOUR.convert("L")
ALPHA = Image.fromarray(RNG.integers(0, 256, (12, 20), np.uint8))
ORIENTATION = 0x0112
DARK = (10, 20, 30)

TURNED = {
    1: lambda shown: shown,
    2: lambda shown: shown[:, ::-1],
    3: lambda shown: shown[::-1, ::-1],
    4: lambda shown: shown[::-1],
    5: lambda shown: shown.transpose(1, 0, 2),
    6: lambda shown: np.rot90(shown, 1),
    7: lambda shown: np.rot90(shown, 2).transpose(1, 0, 2),
    8: lambda shown: np.rot90(shown, -1),
}
"""How a camera stores what should be shown, by orientation."""


def encoded(image: Image.Image, kind: str = "PNG", **more) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def read(data: bytes, channels: int = 3, background=(255, 255, 255)) -> np.ndarray:
    return pixels(open_picture(data), channels, background)


def with_alpha(image: Image.Image, alpha: Image.Image = ALPHA) -> Image.Image:
    image = image.copy()
    image.putalpha(alpha)
    return image


def on(background: tuple[int, ...], image: Image.Image, alpha: Image.Image = ALPHA) -> np.ndarray:
    """By the definition, with at most one level of rounding."""
    share = np.asarray(alpha)[..., None] / 255
    picture = np.asarray(image.convert("RGB"))
    return picture * share + np.array(background) * (1 - share)


def test_grey_stays_one_channel_and_colour_stays_colour():
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        assert np.array_equal(read(encoded(GREY, kind)), np.asarray(GREY)[..., None])
        assert np.array_equal(read(encoded(COLOUR, kind)), np.asarray(COLOUR))
    assert np.array_equal(read(encoded(COLOUR), channels=1), np.asarray(GREY)[..., None])


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG", "MPO"])
def test_a_picture_is_upright_whatever_the_camera_stored(kind, orientation):
    shown = np.zeros((48, 32, 3), np.uint8)
    shown[:16, :16] = 255, 0, 0
    shown[32:, :16] = 0, 0, 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = Image.fromarray(np.ascontiguousarray(TURNED[orientation](shown)))
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}, "MPO": {"quality": 95}}
    more = {"save_all": True, "append_images": [stored]} if kind == "MPO" else {}
    got = read(encoded(stored, kind, exif=exif, **lossless.get(kind, {}), **more))
    assert got.shape == shown.shape
    exact = kind in ("PNG", "WEBP", "TIFF")
    assert np.abs(got.astype(int) - shown).max() <= (0 if exact else 100)
    assert np.abs(got.astype(int) - shown).mean() < 5


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(png: bytes, kind: bytes, data: bytes, before: bytes = b"IDAT") -> bytes:
    at = png.index(before) - 4
    return png[:at] + chunk(kind, data) + png[at:]


def test_exif_that_stands_behind_the_pixels_counts():
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    png = with_chunk(encoded(COLOUR), b"eXIf", exif.tobytes()[6:], before=b"IEND")
    assert np.array_equal(read(png), np.asarray(COLOUR)[::-1, ::-1])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"no EXIF at all",
        b"MM\x00*\x00\x00\xff\xff",
        b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x63\x00\x00\x00",
        b"II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x02\x00\x04\x00\x00\x00six\x00\x00\x00\x00\x00",
        b"II*\x00\x08\x00\x00\x00\xff\xff\x12\x01",
    ],
)
def test_exif_that_is_broken_says_nothing(exif):
    assert np.array_equal(read(with_chunk(encoded(COLOUR), b"eXIf", exif)), np.asarray(COLOUR))
    jpeg = encoded(COLOUR, "JPEG")
    segment = b"Exif\0\0" + exif
    broken = jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]
    assert np.array_equal(read(broken), read(jpeg))


@pytest.mark.parametrize("background", [(255, 255, 255), (0, 0, 0), DARK])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_what_is_transparent_is_laid_on_the_background(kind, background):
    more = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    got = read(encoded(with_alpha(COLOUR), kind, **more), background=background)
    assert np.abs(got - on(background, COLOUR)).max() <= 1
    got = read(encoded(with_alpha(GREY), "PNG"), background=background)
    assert np.abs(got - on(background, GREY)).max() <= 1
    assert got.shape[2] == (3 if background == DARK else 1)
    assert read(encoded(with_alpha(GREY), "PNG"), 1, background).shape[2] == 1


def test_what_lies_under_full_transparency_does_not_matter():
    hidden = Image.fromarray(
        np.where(np.arange(20) < 10, 0, 255).astype(np.uint8)[None].repeat(12, 0)
    )
    one = read(encoded(with_alpha(COLOUR, hidden)))
    other = np.asarray(COLOUR).copy()
    other[:, :10] = 77
    assert np.array_equal(one, read(encoded(with_alpha(Image.fromarray(other), hidden))))
    assert (one[:, :10] == 255).all()
    assert np.array_equal(one[:, 10:], np.asarray(COLOUR)[:, 10:])


def test_a_palette_with_transparency_is_laid_on_the_background():
    palette = COLOUR.quantize(8)
    shown = np.asarray(palette.convert("RGB")).copy()
    assert np.array_equal(read(encoded(palette)), shown)
    index = np.asarray(palette)
    shown[index == 2] = DARK
    for data in (
        encoded(palette, transparency=2),
        encoded(palette, "GIF", transparency=2, optimize=False),
    ):
        assert np.array_equal(read(data, background=DARK), shown)
    half = encoded(palette, transparency=bytes([255, 255, 128, *[255] * 5]))
    got = read(half, background=(255, 255, 255)).astype(int)
    colour = np.asarray(palette.convert("RGB"))[index == 2].astype(int)
    assert np.abs(got[index == 2] - (colour * 128 + 255 * 127) / 255).max() <= 1


def test_one_colour_that_stands_for_transparency_is_laid_on_the_background():
    colour = np.asarray(COLOUR).copy()
    colour[3, 4] = 1, 2, 3
    shown = colour.copy()
    shown[3, 4] = DARK
    png = encoded(Image.fromarray(colour), transparency=(1, 2, 3))
    assert np.array_equal(read(png, background=DARK), shown)
    grey = np.asarray(GREY).copy() | 1
    grey[3, 4] = 8
    png = encoded(Image.fromarray(grey), transparency=8)
    assert read(png)[3, 4] == 255
    deep = grey.astype(np.uint16) << 8 | 5
    got = read(encoded(Image.fromarray(deep), transparency=8 << 8 | 5))
    assert got[3, 4] == 255
    assert np.array_equal(got[0], grey[0][:, None])


def deep_png(values: np.ndarray, colour_type: int) -> bytes:
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_of_16_bits_the_upper_8_are_kept(colour_type, channels):
    values = RNG.integers(0, 2**16, (7, 5, channels), np.uint16)
    if channels in (2, 4):
        values[..., -1] = 0xFFFF
    got = read(deep_png(values, colour_type))
    colours = channels - (channels % 2 == 0)
    assert np.array_equal(got, np.broadcast_to((values >> 8)[..., :colours], got.shape))


@pytest.mark.parametrize("kind", ["TIFF", "PPM"])
def test_16_bit_grey_of_scanners_keeps_its_upper_8_bits(kind):
    deep = RNG.integers(0, 2**16, (7, 5), np.uint16)
    assert np.array_equal(read(encoded(Image.fromarray(deep), kind))[..., 0], deep >> 8)
    big = Image.frombytes("I;16B", (5, 7), deep.astype(">u2").tobytes())
    if kind == "TIFF":
        assert np.array_equal(read(encoded(big, kind))[..., 0], deep >> 8)


def test_printers_colours_are_turned_to_screens():
    flat = Image.new("RGB", (16, 16), (200, 100, 40))
    for data in (encoded(flat.convert("CMYK"), "JPEG"), encoded(flat.convert("CMYK"), "TIFF")):
        assert np.abs(read(data).astype(int) - np.asarray(flat)).max() <= 3
    adobe = encoded(flat.convert("CMYK"), "JPEG")
    assert b"Adobe" in adobe  # whose values are inverted
    ycc = encoded(flat.convert("YCbCr"), "TIFF")
    assert np.abs(read(ycc).astype(int) - np.asarray(flat)).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "MPO"])
def test_of_several_pictures_in_a_file_the_first_counts(kind):
    first, second = (Image.new("RGB", (16, 16), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    data = encoded(first, kind, save_all=True, append_images=[second])
    assert np.abs(read(data).astype(int) - np.asarray(first)).max() <= 3


def test_black_and_white_is_grey():
    bits = GREY.convert("1")
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        assert np.array_equal(read(encoded(bits, kind)), np.asarray(bits.convert("L"))[..., None])


@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_what_a_png_says_besides_its_pixels_may_be_long_and_is_not_read(before):
    noise, blank = RNG.bytes(2_000_000), bytes(5_000_000)
    kinds = {
        b"iCCP": lambda data: b"sRGB\0\0" + zlib.compress(data, 1),
        b"zTXt": lambda data: b"note\0\0" + zlib.compress(data, 1),
        b"iTXt": lambda data: b"note\0\1\0\0\0" + zlib.compress(data, 1),
        b"tEXt": lambda data: b"note\0" + data.replace(b"\0", b"x"),
    }
    png = encoded(COLOUR)
    for kind, packed in kinds.items():
        for data in (noise, blank) if kind != b"tEXt" else (noise,):
            given = with_chunk(png, kind, packed(data), before)
            tracemalloc.start()
            assert np.array_equal(read(given), np.asarray(COLOUR))
            assert tracemalloc.get_traced_memory()[1] < 3 * len(given) + 1_000_000
            tracemalloc.stop()
    many = PngImagePlugin.PngInfo()
    for i in range(80):
        many.add_text(f"note {i}", " " * 900_000, zip=True)
    assert np.array_equal(read(encoded(COLOUR, pnginfo=many)), np.asarray(COLOUR))


@pytest.mark.parametrize("size", [(1, MOST_SIDE_PIXELS + 1), (10_000_000, 4)])
def test_what_is_only_a_side_is_refused_before_anything_is_decoded(size):
    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
    with pytest.raises(PictureTooLarge, match=rf"{size[0]}x{size[1]} pixels; .* at most 65535"):
        open_picture(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"hello", "may be PNG, JPEG, WEBP, GIF, BMP, TIFF, PPM"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "may be PNG"),
        (encoded(Image.new("F", (4, 4)), "TIFF"), "TIFF image has pixels of the mode 'F'"),
        (encoded(Image.new("I", (4, 4)), "TIFF"), "TIFF image has pixels of the mode 'I'"),
        (encoded(COLOUR, "JPEG2000"), "may be PNG"),
    ],
)
def test_what_is_not_read_is_named(data, message):
    with pytest.raises(UnsupportedPicture, match=message):
        open_picture(data)


def test_a_jpeg_of_more_scans_than_anybody_needs_is_refused_before_it_is_decoded():
    jpeg = encoded(COLOUR, "JPEG", progressive=True)
    scan, end = jpeg[jpeg.rindex(b"\xff\xda") : -2], jpeg[-2:]
    assert read(jpeg[:-2] + scan * 100 + end).shape == (12, 20, 3)
    with pytest.raises(UnsupportedPicture, match="more than 200 times"):
        open_picture(jpeg[:-2] + scan * 300 + end)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "P"])
def test_a_picture_of_many_bands_is_what_its_bands_are(mode):
    large = Image.fromarray(RNG.integers(0, 256, (900, 500), np.uint8))
    image = {
        "RGBA": lambda: with_alpha(large.convert("RGB"), large),
        "LA": lambda: with_alpha(large, large),
        "I;16": lambda: Image.fromarray(np.asarray(large).astype(np.uint16) << 8),
        "P": lambda: large.convert("RGB").quantize(16),
    }[mode]()
    if mode == "P":
        image.info["transparency"] = 3
    whole = pixels(image, 3, DARK)
    for top in (0, 100, 261, 850):
        part = image.crop((0, top, 500, top + 50))
        assert np.array_equal(whole[top : top + 50], pixels(part, 3, DARK))
