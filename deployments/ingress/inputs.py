"""From a request's body to what the cascade is asked about: at once where that takes about a
millisecond at most, else in a worker, so that no other request waits.

How long it takes is known beforehand: of a picture by the pixels that its header says, however few
bytes they were compressed to, and of tensors by their length.
"""

from collections.abc import Callable, Mapping

from PIL import Image

from cache_models.network import apart
from cache_models.network.description import ModelDescription
from deployments.config import HttpLimits
from deployments.ingress.decoding import decode, open_image
from deployments.ingress.errors import RequestError
from deployments.ingress.multipart import file_in
from deployments.ingress.open_inference.messages import InferRequest
from deployments.ingress.open_inference.tensors import Signature
from deployments.ingress.reading import is_small, read
from deployments.ingress.resizing import (
    Input,
    is_larger,
    needs_resizing,
    smallest_form,
    smallest_form_of_picture,
)
from deployments.ingress.workers import Workers

INLINE_PIXELS = 128 * 128
"""A larger picture is decoded in a worker; this one takes 0.3 to 0.6 ms."""
HOLDING_PIXELS = 4_000_000
"""A larger picture, of a format whose decoder holds the interpreter, is decoded in a process of its
own; this one holds it for 25 ms."""
INLINE_IMAGE_BYTES = 64 * 1024
"""A larger file is opened in a worker."""
INLINE_TEXT_BYTES = 32 * 1024
"""Longer JSON is parsed in a worker; this takes 0.4 to 0.9 ms."""
INLINE_BINARY_BYTES = 512 * 1024
"""Larger binary tensors are checked in a worker."""


class Inputs:
    """Reads bodies for one model.

    Args:
        limits: of pixels and rows.
    """

    def __init__(self, description: ModelDescription, limits: HttpLimits, workers: Workers):
        self._description, self._limits, self._workers = description, limits, workers
        self._signature = Signature(description, limits)
        self._preprocessing = description.preprocessing

    async def file(self, headers: Mapping[str, str], body: bytes) -> Input:
        """What people send to be classified: a picture, a sound or a text, as the model takes."""
        reader = self._description.reader
        if reader is None:
            return await self._picture(headers, body)
        if is_small(reader, body):
            return Input(read(reader, headers, body))
        return Input(await self._workers.run(read, reader, headers, body))

    async def _picture(self, headers: Mapping[str, str], body: bytes) -> Input:
        """One image, raw or as a multipart field, for a model that has preprocessing."""
        inline = len(body) <= INLINE_IMAGE_BYTES
        if inline:
            image, file = self._opened(headers, body)
        else:
            image, file = await self._workers.run(self._opened, headers, body)
        if inline and self._is_small(image):
            return self._decoded(image)
        size = image.width * image.height
        if self._holds(image):
            image.close()
            return await self._workers.run(self._decoded_apart, file, pixels=size)
        return await self._workers.run(self._decoded, image, pixels=size)

    async def tensor(
        self, read: Callable[[Signature], InferRequest], text_bytes: int, binary_bytes: int = 0
    ) -> tuple[InferRequest, Input]:
        """A request of the Open Inference Protocol.

        Args:
            read: what makes it of a message.
            text_bytes: of numbers that are read one by one.
            binary_bytes: of numbers that are taken as they are.
        """
        if text_bytes > INLINE_TEXT_BYTES or binary_bytes > INLINE_BINARY_BYTES:
            request = await self._workers.run(read, self._signature)
        else:
            request = read(self._signature)
        batch = request.batch
        if not needs_resizing(batch, self._preprocessing):
            return request, Input(batch)
        return request, await self._workers.run(smallest_form, batch, self._preprocessing)

    def _opened(self, headers: Mapping[str, str], body: bytes) -> tuple[Image.Image, bytes]:
        file = file_in(headers, body, "image")
        return open_image(file, self._limits.max_image_pixels), file

    def _is_small(self, image: Image.Image) -> bool:
        """A progressive JPEG may go over its pixels any number of times."""
        assert self._preprocessing is not None
        return (
            image.width * image.height <= INLINE_PIXELS
            and not is_larger(image.height, image.width, self._preprocessing)
            and "progressive" not in image.info
        )

    def _holds(self, image: Image.Image) -> bool:
        """Whether decoding would hold the interpreter for long, whatever thread it happens in."""
        assert self._preprocessing is not None
        return (
            image.format in apart.HOLDING
            and image.width * image.height > HOLDING_PIXELS
            and is_larger(image.height, image.width, self._preprocessing)
        )

    def _decoded_apart(self, file: bytes) -> Input:
        assert self._preprocessing is not None
        try:
            resized = apart.resized(file, self._preprocessing)
        except ValueError as error:
            raise RequestError(f"the image is damaged: {error}") from error
        return Input(resized[None], True)

    def _decoded(self, image: Image.Image) -> Input:
        assert self._preprocessing is not None
        return smallest_form_of_picture(decode(image, self._preprocessing), self._preprocessing)
