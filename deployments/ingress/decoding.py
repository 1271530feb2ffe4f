"""From a request's body to a decoded image, or a refusal that says why."""

import io

import numpy as np
from PIL import Image
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from cache_models.network.pixels import pixels
from deployments.ingress.errors import BodyTooLarge, InvalidInput, RequestError, UnsupportedMedia


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body, refused as soon as it is known to be too large."""
    too_large = BodyTooLarge(
        f"the body has more than {max_bytes} bytes; send a smaller one or raise "
        f"http.max_body_bytes in serve_config.yaml"
    )
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise too_large
    return bytes(body)


async def image_bytes(request: Request, body: bytes) -> bytes:
    """The image in `body`: all of it, or the multipart field `image`."""
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return body

    async def stream():
        yield body

    try:
        form = await MultiPartParser(request.headers, stream()).parse()
    except (MultiPartException, KeyError) as error:
        message = getattr(error, "message", f"the header lacks {error}")
        raise RequestError(f"the multipart body cannot be read: {message}") from error
    image = form.get("image")
    if image is None:
        raise InvalidInput(
            f"the multipart body has the fields {sorted(form) or 'none'}, not 'image', which must "
            f"hold a PNG or JPEG file"
        )
    return await image.read() if isinstance(image, UploadFile) else image.encode()


def decode_image(data: bytes, channels: int, max_pixels: int) -> np.ndarray:
    """A PNG or JPEG as `(h, w, 1 or 3)` uint8, see `pixels`.

    Args:
        channels: that the base DNN takes; 1 turns colour to grey.
    """
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
    try:
        return pixels(image, channels)
    except Exception as error:
        raise RequestError(f"the {image.format} image is damaged: {error}") from error
