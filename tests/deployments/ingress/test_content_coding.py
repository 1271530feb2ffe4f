"""Compressed bodies become what was compressed, and no more of it than may be."""

import asyncio
import gzip
import tracemalloc
import zlib

import numpy as np
import pytest

from deployments.ingress.content_coding import PIECE_BYTES, decompressed
from deployments.ingress.errors import RequestError

NOISE = np.random.default_rng(0).bytes(300_000)
LIMIT = 1_000_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def read(body: bytes, codings: str, limit: int = LIMIT) -> bytes:
    return asyncio.run(decompressed(body, codings, limit))


@pytest.mark.parametrize("data", [b"", b"x", NOISE, bytes(LIMIT), bytes(PIECE_BYTES)])
def test_what_was_compressed_comes_back(data):
    for body, codings in (
        (data, ""),
        (data, "identity"),
        (gzip.compress(data), "gzip"),
        (gzip.compress(data), "x-gzip"),
        (gzip.compress(data), " GZip "),
        (gzip.compress(data) + bytes(100_000), "gzip"),
        (zlib.compress(data), "deflate"),
        (raw_deflate(data), "deflate"),
        (gzip.compress(zlib.compress(data)), "deflate, gzip"),
        (gzip.compress(data), "identity, gzip"),
    ):
        assert read(body, codings) == data


def test_gzip_may_have_several_members():
    body = gzip.compress(NOISE) + gzip.compress(b"") + gzip.compress(b"more")
    assert read(body, "gzip") == NOISE + b"more"


@pytest.mark.parametrize(
    ("body", "codings", "status", "message"),
    [
        (b"x", "br", 415, "Content-Encoding is 'br'; it may be gzip or deflate, or left out"),
        (b"x", "zstd", 415, "it may be gzip or deflate"),
        (b"x", "gzip, br", 415, "it may be gzip or deflate"),
        (b"x", "gzip, gzip, gzip", 415, "it may be gzip or deflate"),
        (b"not compressed", "gzip", 400, "not gzip, as the header Content-Encoding says"),
        (b"not compressed", "deflate", 400, "not deflate"),
        (b"", "gzip", 400, "ends before it should"),
        (gzip.compress(NOISE)[:-9], "gzip", 400, "ends before it should"),
        (zlib.compress(NOISE)[:-5], "deflate", 400, "ends before it should"),
        (gzip.compress(NOISE) + b"rubbish", "gzip", 400, "not gzip"),
        (gzip.compress(NOISE)[:-8] + bytes(8), "gzip", 400, "not gzip.*check"),
        (gzip.compress(bytes(LIMIT + 1)), "gzip", 413, f"more than {LIMIT} bytes when it is decom"),
    ],
)
def test_what_cannot_be_decompressed_is_named(body, codings, status, message):
    with pytest.raises(RequestError, match=message) as caught:
        read(body, codings)
    assert caught.value.status == status
    assert ("Accept-Encoding" in caught.value.headers) == (status == 415)


def test_nothing_is_decompressed_beyond_the_limit():
    bomb = gzip.compress(bytes(200_000_000), 1)
    for body, codings in ((bomb, "gzip"), (gzip.compress(bomb), "gzip, gzip")):
        tracemalloc.start()
        with pytest.raises(RequestError, match="decompressed"):
            read(body, codings, 10 * LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 12 * LIMIT
        tracemalloc.stop()


def test_others_have_their_turn_meanwhile():
    async def run():
        turns, done = 0, False

        async def other():
            nonlocal turns
            while not done:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await decompressed(gzip.compress(bytes(LIMIT)), "gzip", LIMIT)
        done = True
        await task
        return turns

    assert asyncio.run(run()) >= LIMIT // PIECE_BYTES
