"""Whether loops that should run for ever still do."""

import asyncio


def check(name: str, loop: asyncio.Task[None] | None) -> None:
    """
    Args:
        loop: None if it has not begun.

    Raises:
        RuntimeError: it has ended; says why.
    """
    if loop is None or not loop.done():
        return
    why = "it was cancelled" if loop.cancelled() else repr(loop.exception())
    raise RuntimeError(f"{name} has ended: {why}")
