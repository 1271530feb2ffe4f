"""A walk where no place ever waits, as in one process."""

from collections.abc import Coroutine
from typing import Any


def run_now(walk: Coroutine[Any, Any, Any]) -> Any:
    """The result of a walk through places that never wait, without an event loop.

    Raises:
        RuntimeError: a place waited.
    """
    try:
        walk.send(None)
    except StopIteration as done:
        return done.value
    walk.close()
    raise RuntimeError("a stage waited; await the walk on an event loop instead")
