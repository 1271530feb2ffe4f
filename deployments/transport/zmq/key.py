"""The key that lets the processes of one application speak by ZeroMQ, and nobody else.

It lies in the store, which all of them can read, in a file for the owner alone: so it is in no
configuration, log or controller, and a redeploy does not change it. To change it, delete the file
and restart the application.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from cache_models.store.secrets import write_once

FILE = "lane.key"


class KeyFileError(RuntimeError):
    """The key cannot be read."""


@dataclass(frozen=True)
class Key:
    """A CurveZMQ pair, Z85-encoded, which servers and clients of one application share."""

    public: bytes
    secret: bytes


def make_key(store: Path) -> None:
    """Make the store's key, unless it has one."""
    import zmq

    if (store / FILE).exists():
        return
    public, secret = zmq.curve_keypair()
    pair = {"public": public.decode(), "secret": secret.decode()}
    write_once(store / FILE, json.dumps(pair))


def load_key(store: Path) -> Key:
    """
    Raises:
        KeyFileError: there is none, or something else lies there.
    """
    try:
        found = json.loads((store / FILE).read_text())
        return Key(found["public"].encode(), found["secret"].encode())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyFileError(
            f"the key {store / FILE} cannot be read ({error}); delete it and restart the "
            f"application, or set `lane: {{enabled: false}}` in serve_config.yaml"
        ) from error
