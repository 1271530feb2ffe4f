"""Results on disk: whole, or as they were."""

import json
import os
from pathlib import Path
from typing import Any


def write_json(file: Path, result: dict[str, Any]) -> None:
    """
    Raises:
        OSError: it cannot be written.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    partial.replace(file)
