"""Which stream a request belongs to: a camera, a microphone, a user, a device.

Neighbours in a stream are alike, so whoever tests caches must know it. Its name may say who
somebody is, and is kept nowhere: what travels and is stored is a keyed hash, whose key lies in the
store.
"""

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cache_models.errors import ArtifactError
from cache_models.store.secrets import make_once, secret
from deployments.ingress.errors import RequestError

HEADER, PARAMETER = "X-Stream", "sequence_id"
"""The second is Triton's name for it in the Open Inference Protocol."""
MOST_CHARACTERS = 256
FILE, BYTES = "stream.key", 32
EVERYBODYS = "everybody"
"""The stream of all requests, where they share one memory; no hash, and so nobody's."""


def make_key(store: Path | str) -> None:
    """Make the store's key, unless it has one.

    Args:
        store: its folder, or its URL.

    Raises:
        ArtifactError: it cannot be written.
        RuntimeError: what is there is no key.
    """
    make_once(store, FILE, lambda: secrets.token_hex(BYTES))
    Streams(store)


class Streams:
    """
    Args:
        store: with a key.
        shared: whether all requests are of one stream.

    Raises:
        RuntimeError: the key cannot be read.
    """

    def __init__(self, store: Path | str, shared: bool = False):
        self._shared = shared
        try:
            self._key = bytes.fromhex(secret(store, FILE))
            if len(self._key) != BYTES:  # a shorter one could be guessed
                raise ValueError(f"it has {len(self._key)} bytes, not {BYTES}")
        except (OSError, ArtifactError, ValueError) as error:
            raise RuntimeError(
                f"the key {store}/{FILE} cannot be read ({error}); delete it and restart the "
                f"application"
            ) from error

    def hashed(self, name: str) -> str:
        """16 hexadecimal digits for a stream's name; nothing for none, unless all are one."""
        if self._shared:
            return EVERYBODYS
        if not name:
            return ""
        digest = hashlib.blake2b(name.encode(), digest_size=8, key=self._key, person=b"stream")
        return digest.hexdigest()


def named_by(header: str, parameters: Mapping[str, Any] | None = None) -> str:
    """The stream's name in a request, the parameter before the header; empty if there is none.

    Args:
        header: empty if there is none.

    Raises:
        RequestError: it is too long, or neither text nor an integer.
    """
    found = (parameters or {}).get(PARAMETER)
    match found:
        case None | "" | 0 if not isinstance(found, bool):  # Triton's for no sequence
            return _checked(header, f"the header {HEADER!r}")
        case str() | int() if not isinstance(found, bool):
            return _checked(str(found), f"parameters.{PARAMETER}")
    raise RequestError(
        f"parameters.{PARAMETER} is {found!r:.80}; it may be an integer, or a text of at most "
        f"{MOST_CHARACTERS} characters"
    )


def _checked(name: str, where: str) -> str:
    if len(name) > MOST_CHARACTERS:
        raise RequestError(
            f"{where} has {len(name)} characters; it may have at most {MOST_CHARACTERS}"
        )
    return name
