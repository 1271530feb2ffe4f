"""The key that lets the processes of one application speak by ZeroMQ, and nobody else.

It lies in the store, which all of them can read, in a file for the owner alone: so it is in no
configuration, log or controller, and a redeploy does not change it. To change it, delete the file
and restart the application.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from cache_models.errors import ArtifactError
from cache_models.store.secrets import make_once, secret

FILE = "lane.key"


class KeyFileError(RuntimeError):
    """The key cannot be read."""


@dataclass(frozen=True)
class Key:
    """A CurveZMQ pair, Z85-encoded, which servers and clients of one application share."""

    public: bytes
    secret: bytes


def make_key(store: Path | str) -> None:
    """Make the store's key, unless it has one.

    Args:
        store: its folder, or its URL.

    Raises:
        ArtifactError: it cannot be written.
        KeyFileError: what is there is no key.
    """
    make_once(store, FILE, _pair)
    load_key(store)


def _pair() -> str:
    import zmq

    public, secret = zmq.curve_keypair()
    return json.dumps({"public": public.decode(), "secret": secret.decode()})


def load_key(store: Path | str) -> Key:
    """
    Raises:
        KeyFileError: there is none, or something else lies there.
    """
    import zmq

    try:
        found = json.loads(secret(store, FILE))
        key = Key(found["public"].encode(), found["secret"].encode())
        if zmq.curve_public(key.secret) != key.public:
            raise ValueError("its halves are not of one pair")
        return key
    except (OSError, ArtifactError, zmq.ZMQError, ValueError, KeyError, TypeError) as error:
        raise KeyFileError(
            f"the key {store}/{FILE} cannot be read ({error}); delete it and restart the "
            f"application, or set `lane: {{enabled: false}}` in serve_config.yaml"
        ) from error
