"""Memory that was freed, given back to the operating system."""

import contextlib
import ctypes


def return_freed_memory() -> None:
    """glibc keeps what was freed below anything that is still used, which after much work, as of
    loading a graph or of learning, may be several times as much as that."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
