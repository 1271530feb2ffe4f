"""From a request's body to the input of a model of sounds or of texts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.multipart import parse_options_header

from cache_models.errors import DataError, UnreadableError
from cache_models.network.tokens import Tokens
from cache_models.network.waveform import Waveform
from deployments.ingress.errors import (
    InvalidInput,
    RequestError,
    UnsupportedMedia,
    first_mistake,
)
from deployments.ingress.multipart import file_in

Reader = Waveform | Tokens

SMALL_SOUND_BYTES, SMALL_TEXT_BYTES = 64 * 1024, 4 * 1024
"""So much is read in half a millisecond: of sounds, where nothing is to be decompressed."""


class TextRequest(BaseModel):
    """A text to classify."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(examples=["a film that nobody will regret to have missed"])


def takes(reader: Reader) -> dict[str, Any]:
    """The bodies that `/predict` takes, for its schema, by media type."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    field = "sound" if isinstance(reader, Waveform) else "text"
    form = {"type": "object", "required": [field], "properties": {field: binary["schema"]}}
    kinds: dict[str, Any] = {"multipart/form-data": {"schema": form}}
    if isinstance(reader, Waveform):
        return dict.fromkeys(("audio/wav", "audio/flac", "audio/ogg"), binary) | kinds
    text = {"schema": {"type": "string"}}
    return {
        "application/json": {"schema": TextRequest.model_json_schema()},
        "text/plain": text,
    } | kinds


def is_small(reader: Reader, body: bytes) -> bool:
    """Whether reading it takes about as long as handing it to somebody else."""
    if isinstance(reader, Tokens):
        return len(body) <= SMALL_TEXT_BYTES
    return len(body) <= SMALL_SOUND_BYTES and body.startswith(b"RIFF")


def read(reader: Reader, headers: Mapping[str, str], body: bytes) -> np.ndarray:
    """The input in `body`, `(1, *input_shape)` float32.

    Args:
        headers: of the request, with lower-case keys.

    Raises:
        RequestError: it cannot be read; says what it is, and may be.
    """
    try:
        if isinstance(reader, Waveform):
            return reader.read(file_in(headers, body, "sound"))[None]
        return reader.read(_text(headers, body))[None]
    except UnreadableError as error:
        raise UnsupportedMedia(
            f"{error}; send one as the raw body or as the multipart field 'sound'"
        ) from error
    except DataError as error:
        raise InvalidInput(str(error)) from error


def _text(headers: Mapping[str, str], body: bytes) -> str:
    """As JSON, plain, or in a form."""
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind.lower() == b"application/json":
        return _text_in_json(body)
    charset = options.get(b"charset", b"utf-8").decode("latin-1")
    try:
        return file_in(headers, body, "text").decode(charset)
    except LookupError as error:
        raise UnsupportedMedia(f"the charset {charset!r} is not known; send UTF-8") from error
    except ValueError as error:
        raise InvalidInput(f"the text is not {charset}: {error}") from error


def _text_in_json(body: bytes) -> str:
    try:
        return TextRequest.model_validate_json(body).text
    except ValidationError as error:
        raise RequestError(f'{first_mistake(error)}. Send {{"text": "..."}}') from error
