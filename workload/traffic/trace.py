"""A trace: what was sent when, as JSON lines `{"time": seconds, "item": index, "round": 0}`.

`round` makes varied and foreign pictures again (`workload.traffic.variation`); without it, it is 0.
`worn`, where a picture is, has the three numbers that made it so.
"""

import json
import os
from pathlib import Path

import numpy as np

from workload.errors import ParameterError
from workload.traffic.variation import FOREIGN

NEW = (1.0, 0.0, 0.0)
"""Of a picture that is not worn."""


def write(
    file: Path,
    times_s: np.ndarray,
    items: np.ndarray,
    rounds: np.ndarray,
    worn: np.ndarray | None = None,
) -> None:
    """
    Args:
        times_s: from the start of the run, `(n,)`; `items` and `rounds` likewise.
        worn: `(n, 3)`, the arguments of `variation.wear`.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with open(partial, "w") as out:
        for i, (time_s, item, round_) in enumerate(zip(times_s, items, rounds, strict=True)):
            row = {"time": round(float(time_s), 6), "item": int(item), "round": int(round_)}
            if worn is not None:
                row["worn"] = worn[i].tolist()
            out.write(json.dumps(row) + "\n")
    partial.replace(file)


def read(
    file: Path, data: int, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Times in seconds, the first 0; items; rounds: `(n,)` each, in order of time. And how worn
    each picture is, `(n, 3)`; None where none is.

    Args:
        data: so many images there are.
        most: so many from the beginning.

    Raises:
        ParameterError: it cannot be read, or names an item that the data have not.
    """
    rows: list[tuple[float, int, int]] = []
    worn: list[tuple[float, ...]] = []
    number = 0
    try:
        with open(file) as lines:
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                row = json.loads(line)
                rows.append((float(row["time"]), int(row["item"]), int(row.get("round", 0))))
                worn.append(tuple(map(float, row.get("worn", NEW))))
                if len(worn[-1]) != len(NEW):
                    raise ValueError(f"worn is {row['worn']}; it may be brightness, blur, degrees")
                if not min(FOREIGN.values()) <= rows[-1][1] < data or rows[-1][2] < 0:
                    raise ValueError(f"item {rows[-1][1]} is none of the data's {data}")
    except OSError as error:
        raise ParameterError(f"trace {file} cannot be read: {error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ParameterError(
            f'trace {file}, line {number}: {error}; a line is {{"time": seconds, "item": index}}'
        ) from error
    if not rows:
        raise ParameterError(f"trace {file} is empty")
    times_s, items, rounds = (np.array(part) for part in zip(*rows, strict=True))
    order = np.argsort(times_s, kind="stable")[:most]
    how_worn = None if set(worn) == {NEW} else np.array(worn)[order]
    return times_s[order] - times_s.min(), items[order], rounds[order], how_worn
