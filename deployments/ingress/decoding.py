"""From a request's body to a decoded image, or a refusal that says why."""

from PIL import Image
from starlette.requests import ClientDisconnect, Request

from cache_models.network.pixels import PictureTooLarge, UnsupportedPicture, flat, open_picture
from cache_models.network.preprocessing import Preprocessing
from deployments.ingress.content_coding import decompressed
from deployments.ingress.errors import BodyTooLarge, InvalidInput, RequestError, UnsupportedMedia


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body, decompressed, and refused as soon as it is known to be too large."""
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
    body = b"".join(chunks)
    if codings := request.headers.get("content-encoding"):
        return await decompressed(body, codings, max_bytes)
    return body


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """A picture of which the header alone has been read."""
    if not data:
        raise InvalidInput("the body is empty; send an image")
    try:
        image = open_picture(data)
    except PictureTooLarge as error:
        raise BodyTooLarge(str(error)) from error
    except UnsupportedPicture as error:
        raise UnsupportedMedia(
            f"{error}; send one as the raw body or as the multipart field 'image'"
        ) from error
    if image.width * image.height > max_pixels:
        raise BodyTooLarge(
            f"the image has {image.width}x{image.height} pixels, more than {max_pixels}; send a "
            f"smaller one or raise http.max_image_pixels in serve_config.yaml"
        )
    return image


def decode(image: Image.Image, preprocessing: Preprocessing) -> Image.Image:
    """What `open_image` opened as an image of mode L or RGB, see `pixels.flat`; takes up to 60 ns a
    pixel. The one that was opened is closed."""
    try:
        picture = flat(image, len(preprocessing.mean), preprocessing.background)
    except Exception as error:
        raise RequestError(f"the {image.format} image is damaged: {error}") from error
    if picture is not image:
        image.close()  # which frees its own copy of the pixels
    return picture
