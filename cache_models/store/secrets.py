"""Files in the store that only their owner may read."""

import os
import tempfile
from pathlib import Path


def write_once(file: Path, text: str) -> None:
    """Write a secret, unless the file is there: another's is never replaced."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        os.link(partial, file)  # unlike a rename, never over another's
    except FileExistsError:
        pass
    finally:
        os.unlink(partial)
