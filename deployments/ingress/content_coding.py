"""Bodies that were sent compressed, as the header `Content-Encoding` says."""

import asyncio
import zlib
from collections.abc import Iterator

from deployments.ingress.errors import BodyTooLarge, RequestError, UnsupportedCoding

CODINGS = ("gzip", "deflate")
MOST_CODINGS = 2
"""One on top of the other."""
PIECE_BYTES = 64 * 1024
"""Decompressed in one go, which takes about 0.1 ms."""

_GZIP, _ZLIB, _RAW = 31, 15, -15
"""Formats, as zlib numbers them."""


async def decompressed(body: bytes, codings: str, max_bytes: int) -> bytes:
    """What `body` holds. Other requests have their turn between pieces, and nothing is decompressed
    beyond the limit.

    Args:
        codings: the header, empty for none.

    Raises:
        UnsupportedCoding, BodyTooLarge
        RequestError: the body is damaged, or something else.
    """
    names = [name.strip().lower().removeprefix("x-") for name in codings.split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if len(names) > MOST_CODINGS or not set(names) <= set(CODINGS):
        raise UnsupportedCoding(
            f"the header Content-Encoding is {codings[:80]!r}; it may be {' or '.join(CODINGS)}, "
            f"or left out"
        )
    for name in reversed(names):
        pieces, size = [], 0
        try:
            for piece in _pieces(body, name):
                pieces.append(piece)
                size += len(piece)
                if size > max_bytes:
                    raise BodyTooLarge(
                        f"the body has more than {max_bytes} bytes when it is decompressed; send a "
                        f"smaller one or raise http.max_body_bytes in serve_config.yaml"
                    )
                await asyncio.sleep(0)
        except (zlib.error, EOFError) as error:
            raise RequestError(
                f"the body is not {name}, as the header Content-Encoding says: {error}"
            ) from error
        body = b"".join(pieces)
    return body


def _pieces(body: bytes, name: str) -> Iterator[bytes]:
    """
    Raises:
        zlib.error, EOFError
    """
    form = _GZIP if name == "gzip" else _ZLIB if _is_zlib(body) else _RAW
    inflater = zlib.decompressobj(form)
    for start in range(0, len(body), PIECE_BYTES):
        data = body[start : start + PIECE_BYTES]
        while data:
            if inflater.eof:
                if form != _GZIP or not data.strip(b"\0"):
                    return
                inflater = zlib.decompressobj(form)  # gzip may have several members
            yield inflater.decompress(data, PIECE_BYTES)
            data = inflater.unused_data if inflater.eof else inflater.unconsumed_tail
    while not inflater.eof:
        if not (piece := inflater.decompress(b"", PIECE_BYTES)):
            raise EOFError("it ends before it should")
        yield piece


def _is_zlib(body: bytes) -> bool:
    """Whether it has the header that `deflate` is defined with; many senders leave it out."""
    return len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
