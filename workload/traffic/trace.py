"""A trace: what was sent when, as JSON lines `{"time": seconds, "item": index, "round": 0}`.

`round` makes varied and foreign pictures again (`workload.traffic.variation`); without it, it is 0.
"""

import json
import os
from pathlib import Path

import numpy as np

from workload.errors import ParameterError
from workload.traffic.variation import FOREIGN


def write(file: Path, times_s: np.ndarray, items: np.ndarray, rounds: np.ndarray) -> None:
    """
    Args:
        times_s: from the start of the run, `(n,)`; `items` and `rounds` likewise.
    """
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with open(partial, "w") as out:
        for time_s, item, round_ in zip(times_s, items, rounds, strict=True):
            row = {"time": round(float(time_s), 6), "item": int(item), "round": int(round_)}
            out.write(json.dumps(row) + "\n")
    partial.replace(file)


def read(file: Path, data: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in seconds, the first 0; items; rounds. `(n,)` each, in order of time.

    Args:
        data: so many images there are.

    Raises:
        ParameterError: it cannot be read, or names an item that the data have not.
    """
    rows, number = [], 0
    try:
        with open(file) as lines:
            for line in lines:
                number += 1
                if not line.strip():
                    continue
                row = json.loads(line)
                rows.append((float(row["time"]), int(row["item"]), int(row.get("round", 0))))
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
    order = np.argsort(times_s, kind="stable")
    return times_s[order] - times_s.min(), items[order], rounds[order]
