"""Errors of a server that is asked directly, as what to do about them."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from workload.errors import ServerError


@contextmanager
def answering(url: str) -> Iterator[None]:
    """
    Raises:
        ServerError: for any error of httpx.
    """
    try:
        yield
    except httpx.ConnectError as error:
        raise ServerError(
            f"nobody answers at {url}: start a server with `serve run serve_config.yaml`, or say "
            f"with --url where it is"
        ) from error
    except httpx.HTTPStatusError as error:
        said = error.response.text.strip().splitlines()[:1]
        raise ServerError(
            f"{error.request.url} says {error.response.status_code}: {' '.join(said) or 'nothing'}"
        ) from error
    except httpx.HTTPError as error:
        raise ServerError(f"{url} gave no answer: {error or type(error).__name__}") from error
