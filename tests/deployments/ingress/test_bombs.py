"""Bodies that are small and would become huge: of every format that may come, one takes no more
memory than the limits of `http` say, whether it is refused or answered."""

import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from cache_models.network.waveform import Waveform
from tests.deployments.ingress.test_endpoints import Client, FakeService
from tests.deployments.ingress.test_reading import Reads

LITTLE, MOST_MB = 60, 500
"""Megabytes of what is refused by its header, or read in part; and of a picture of 50 million
pixels, which has three bytes each and is copied."""
ENOUGH = 2**28
REFUSED = (400, 413, 415, 422)


def peak_mb(work: Callable[[], object]) -> float:
    """The most memory that this process had meanwhile, above what it had before."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    reset.write_text("5")

    def read(name: str) -> int:
        return int(status.read_text().partition(f"{name}:")[2].split()[0])

    before = read("VmRSS")
    work()
    return (read("VmHWM") - before) / 1024


def zeros(count: int, wbits: int = 15) -> bytes:
    """So many, deflated, without ever having them; at most as many as are soon made, for a decoder
    that would take more has to be stopped before."""
    count = min(count, ENOUGH)
    packer, piece = zlib.compressobj(9, wbits=wbits), bytes(2**20)
    return b"".join(packer.compress(piece) for _ in range(count // 2**20)) + packer.flush()


def png(width: int, height: int, *more: tuple[bytes, bytes]) -> bytes:
    """A grey one, all black."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = (b"IDAT", zeros((width + 1) * height + 2**20))
    made = b"\x89PNG\r\n\x1a\n"
    for kind, data in (header, *more, rows, (b"IEND", b"")):
        made += struct.pack(">I", len(data)) + kind + data
        made += struct.pack(">I", zlib.crc32(kind + data))
    return made


def tiff(width: int, height: int, tile: int | None = None) -> bytes:
    """A grey, deflated one, of one strip, or of one tile."""
    data = zeros((tile or width) * (tile or height) + 2**20)
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1)]
    if tile:
        tags += [(322, 4, tile), (323, 4, tile), (324, 4, 0), (325, 4, len(data))]
    else:
        tags += [(273, 4, 0), (278, 4, height), (279, 4, len(data))]
    tags.sort()
    starts = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack("<HHII", tag, kind, 1, starts if tag in (273, 324) else value)
        for tag, kind, value in tags
    )
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + data


def gif(screen: tuple[int, int], frame: tuple[int, int]) -> bytes:
    """A frame that is said to be larger than the screen that it lies on."""
    small = io.BytesIO()
    Image.new("L", (8, 8)).save(small, "GIF")
    made = bytearray(small.getvalue())
    made[6:10] = struct.pack("<HH", *screen)
    at = made.index(b",", 13)  # which stands in no colour of a black picture
    made[at + 5 : at + 9] = struct.pack("<HH", *frame)
    return bytes(made)


def saved(kind: str, size: tuple[int, int], **more) -> bytes:
    file = io.BytesIO()
    Image.new("L", size).save(file, kind, **more)
    return file.getvalue()


def frames(kind: str) -> bytes:
    pictures = [Image.fromarray(np.full((500, 500), i, np.uint8)) for i in range(200)]
    file = io.BytesIO()
    more = {"compression": "tiff_deflate"} if kind == "TIFF" else {}
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], **more)
    return file.getvalue()


PICTURES = {
    "PNG that is larger than may be": (lambda: png(60_000, 60_000), LITTLE),
    "PNG that is as large as may be": (lambda: png(7_000, 7_000), MOST_MB),
    "PNG with more rows than it has": (lambda: png(8, 500_000_000 // 9), LITTLE),
    "PNG with a long text": (
        lambda: png(8, 8, (b"zTXt", b"a\0\0" + zeros(ENOUGH))),
        LITTLE,
    ),
    "PNG with a long colour profile": (
        lambda: png(8, 8, (b"iCCP", b"a\0\0" + zeros(ENOUGH))),
        LITTLE,
    ),
    "JPEG": (lambda: saved("JPEG", (7_000, 7_000)), MOST_MB),
    "progressive JPEG": (lambda: saved("JPEG", (7_000, 7_000), progressive=True), MOST_MB),
    "WebP that is larger than may be": (lambda: saved("WEBP", (16_000, 4_000)), LITTLE),
    "WebP": (lambda: saved("WEBP", (7_000, 7_000), quality=0), MOST_MB),
    "WebP of many pictures": (lambda: frames("WEBP"), LITTLE),
    "GIF whose frame is larger than its screen": (lambda: gif((8, 8), (65_535, 65_535)), LITTLE),
    "GIF of a huge screen": (lambda: gif((65_535, 65_535), (8, 8)), LITTLE),
    "GIF": (lambda: saved("GIF", (7_000, 7_000)), MOST_MB),
    "GIF of many pictures": (lambda: frames("GIF"), LITTLE),
    "BMP": (lambda: b"BM" + bytes(8) + struct.pack("<III", 54, 40, 60_000) * 3, LITTLE),
    "TIFF that is larger than may be": (lambda: tiff(60_000, 60_000), LITTLE),
    "TIFF": (lambda: tiff(7_000, 7_000), MOST_MB),
    "TIFF whose tile is larger than it is": (lambda: tiff(8, 8, tile=30_000), LITTLE),
    "TIFF of many pictures": (lambda: frames("TIFF"), LITTLE),
    "PPM": (lambda: b"P6 60000 60000 255\n", LITTLE),
}


@pytest.mark.parametrize("bomb, most_mb", PICTURES.values(), ids=PICTURES)
def test_a_picture_takes_no_more_memory_than_its_pixels_may(bomb, most_mb):
    client, body = Client(FakeService()), bomb()
    assert len(body) < 10 * 2**20
    client.post("/predict", content=saved("PNG", (8, 8)))  # what is loaded once
    seen = []
    peak = peak_mb(lambda: seen.append(client.post("/predict", content=body)))
    assert seen[0].status_code in (200, *REFUSED)
    assert peak < most_mb, seen[0].text


CODED = {
    "gzip": lambda: zeros(ENOUGH, 31),
    "deflate": lambda: zeros(ENOUGH),
    "gzip, gzip": lambda: gzip.compress(zeros(ENOUGH, 31), 9),
    "deflate, gzip": lambda: gzip.compress(zeros(ENOUGH), 9),
}


@pytest.mark.parametrize("coding, bomb", CODED.items(), ids=CODED)
def test_a_body_is_decompressed_no_further_than_it_may_be_long(coding, bomb):
    client, body = Client(FakeService()), bomb()
    seen = []
    headers = {"Content-Encoding": coding}
    peak = peak_mb(lambda: seen.append(client.post("/predict", content=body, headers=headers)))
    assert seen[0].status_code == 413 and peak < LITTLE


@pytest.mark.parametrize(
    "how",
    [{"format": "WAV"}, {"format": "FLAC"}, {"format": "OGG", "subtype": "VORBIS"}],
    ids=lambda how: how["format"],
)
def test_of_a_long_sound_no_more_is_decoded_than_the_model_takes(how):
    client, file = Client(Reads(Waveform(16_000, 16_000), (16_000,))), io.BytesIO()
    minutes = 30 if how["format"] == "FLAC" else 4
    with soundfile.SoundFile(file, "w", 16_000, 1, **how) as sound:
        for _ in range(minutes):
            sound.write(np.zeros(60 * 16_000, np.float32))
    body, seen = file.getvalue(), []
    assert len(body) < 10 * 2**20
    client.post("/predict", content=body[:100_000])
    peak = peak_mb(lambda: seen.append(client.post("/predict", content=body)))
    assert seen[0].status_code == 200 and peak < LITTLE


def test_a_sound_whose_header_says_that_it_is_endless_is_refused_or_read_in_part():
    client, file = Client(Reads(Waveform(16_000, 16_000), (16_000,))), io.BytesIO()
    soundfile.write(file, np.zeros(1_000), 16_000, format="WAV")
    body = bytearray(file.getvalue())
    body[4:8] = body[40:44] = struct.pack("<I", 2**32 - 1)
    seen = []
    peak = peak_mb(lambda: seen.append(client.post("/predict", content=bytes(body))))
    assert seen[0].status_code in (200, *REFUSED) and peak < LITTLE
