"""What can go wrong in this room. Every message says what was found and what to do about it."""

from pathlib import Path

from pydantic import ValidationError


class CacheModelsError(Exception):
    """Base of all errors that a user can cause and mend."""


class ModelReferenceError(CacheModelsError):
    """A reference to a base DNN that cannot be followed."""


class UntraceableModelError(CacheModelsError):
    """A module that torch.fx cannot trace."""


class NotAClassifierError(CacheModelsError):
    """A module whose output is not one row of class scores for every input."""


class EngineError(CacheModelsError):
    """An engine that does not work on this machine, or not with this graph."""


class ExportError(CacheModelsError):
    """A module that cannot become a graph; it runs in PyTorch."""


class DataError(CacheModelsError):
    """Data that cannot be read, or too little of it."""


class UnreadableError(DataError):
    """A file of another format than may be, or a damaged one."""


class ArtifactError(CacheModelsError):
    """A stored artifact that is missing, half-written, altered, or made for something else."""


class StoreUnreachableError(ArtifactError):
    """A store elsewhere that does not answer now."""


def briefly(error: Exception) -> str:
    """What it says, in one line.

    >>> briefly(ValueError("first\\n  second"))
    'first second'
    """
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).split())


def unwritable(what: Path | str, error: Exception) -> ArtifactError:
    """Of a file or folder that cannot be written, and what to do about it."""
    return ArtifactError(
        f"{what} cannot be written: {briefly(error)}. Free space there, or give this user leave to "
        f"write, and try again."
    )
