"""From a request's body to a decoded image, or a refusal that says why."""

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from cache_models.cascade import run_now
from cache_models.network.pixels import pixels
from deployments.ingress.errors import BodyTooLarge, InvalidInput, RequestError, UnsupportedMedia

EXPANDING = (b"zTXt", b"iTXt", b"iCCP")
"""Chunks of a PNG that are compressed and read with its header: a megabyte each may come of a
kilobyte."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body, refused as soon as it is known to be too large."""
    too_large = BodyTooLarge(
        f"the body has more than {max_bytes} bytes; send a smaller one or raise "
        f"http.max_body_bytes in serve_config.yaml"
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            chunks.append(chunk)
            size += len(chunk)
            if size > max_bytes:
                raise too_large
    except ClientDisconnect as error:
        raise RequestError("the client left before its body had come") from error
    return b"".join(chunks)


def image_bytes(headers: Mapping[str, str], body: bytes) -> bytes:
    """The image in `body`: all of it, or the multipart field `image`.

    Args:
        headers: of the request, with lower-case keys.
    """
    if not headers.get("content-type", "").startswith("multipart/form-data"):
        return body

    async def stream():
        yield body

    async def image() -> bytes:
        form = await _InMemory(Headers(headers), stream()).parse()
        try:
            found = form.get("image")
            if found is None:
                raise InvalidInput(
                    f"the multipart body has the fields {sorted(form) or 'none'}, not 'image', "
                    f"which must hold a PNG or JPEG file"
                )
            return await found.read() if isinstance(found, UploadFile) else found.encode()
        finally:
            await form.close()

    try:
        return run_now(image())
    except (MultiPartException, KeyError) as error:
        message = getattr(error, "message", f"the header lacks {error}")
        raise RequestError(f"the multipart body cannot be read: {message}") from error


class _InMemory(MultiPartParser):
    """Writes no temporary file, since the body is in memory anyway; so it never waits."""

    spool_max_size = 0


def may_expand(body: bytes) -> bool:
    """Whether even the header of an image in `body` may take long to read."""
    return any(chunk in body for chunk in EXPANDING)


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """A PNG or JPEG, of which the header alone has been read."""
    if not data:
        raise InvalidInput("the body is empty; send a PNG or JPEG image")
    try:
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    except Image.DecompressionBombError as error:
        raise BodyTooLarge(f"the image has too many pixels: {error}") from error
    except Exception as error:
        raise UnsupportedMedia(
            "the body is not a readable PNG or JPEG image; send one as the raw body or as the "
            "multipart field 'image'"
        ) from error
    if image.width * image.height > max_pixels:
        raise BodyTooLarge(
            f"the image has {image.width}x{image.height} pixels, more than {max_pixels}; send a "
            f"smaller one or raise http.max_image_pixels in serve_config.yaml"
        )
    return image


def decode(image: Image.Image, channels: int) -> np.ndarray:
    """What `open_image` opened as `(h, w, 1 or 3)` uint8, see `pixels`; takes up to 60 ns a pixel.
    The image is closed.

    Args:
        channels: that the base DNN takes; 1 turns colour to grey.
    """
    try:
        return pixels(image, channels)
    except Exception as error:
        raise RequestError(f"the {image.format} image is damaged: {error}") from error
    finally:
        image.close()  # which frees its own copy of the pixels
