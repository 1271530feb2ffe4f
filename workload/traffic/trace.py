"""A trace: what was sent when, as JSON lines `{"time": seconds, "item": index, "round": 0}`.

`round` makes varied and foreign samples again (`workload.traffic.variation`); without it, it is 0.
`stream`, where a request has one, is its key. `worn`, where a picture is, has the three numbers
that made it so. `copies`, the same in all lines that have it, says how copies differ
(`workload.traffic.copies`).
"""

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workload.errors import ParameterError
from workload.traffic.copies import KINDS, MOVED
from workload.traffic.variation import FOREIGN

NEW = (1.0, 0.0, 0.0)
"""Of a picture that is not worn."""


class Known(NamedTuple):
    """What a trace says of its n requests, as `workload.traffic.streams.Stream` has it."""

    items: np.ndarray
    rounds: np.ndarray
    times_s: np.ndarray
    worn: np.ndarray | None
    keys: np.ndarray | None
    copies: str


def write(file: Path, known: Known) -> None:
    """One line a request."""
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    with open(partial, "w") as out:
        for i, (time_s, item) in enumerate(zip(known.times_s, known.items, strict=True)):
            row: dict[str, Any] = {"time": round(float(time_s), 6), "item": int(item)}
            row["round"] = int(known.rounds[i])
            if known.keys is not None and known.keys[i]:
                row["stream"] = known.keys[i]
            if known.worn is not None:
                row["worn"] = known.worn[i].tolist()
            if known.copies != MOVED:
                row["copies"] = known.copies
            out.write(json.dumps(row) + "\n")
    partial.replace(file)


def read(file: Path, data: int, most: int) -> Known:
    """In order of time, the first at 0.

    Args:
        data: so many samples there are.
        most: so many requests from the beginning.

    Raises:
        ParameterError: it cannot be read, or names an item that the data have not.
    """
    rows: list[dict[str, Any]] = []
    number = 0
    try:
        with open(file) as lines:
            for line in lines:
                number += 1
                if line.strip():
                    rows.append(_row(json.loads(line), data))
    except OSError as error:
        raise ParameterError(f"trace {file} cannot be read: {error}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ParameterError(
            f'trace {file}, line {number}: {error}; a line is {{"time": seconds, "item": index}}'
        ) from error
    if not rows:
        raise ParameterError(f"trace {file} is empty")
    copies = {row["copies"] for row in rows} - {""}
    if len(copies) > 1:
        raise ParameterError(
            f"trace {file}: copies are {', '.join(sorted(copies))}; they may be one"
        )
    rows = sorted(rows, key=lambda row: row["time"])[:most]
    times_s = np.array([row["time"] for row in rows])
    keys = np.array([row["stream"] for row in rows], dtype=object)
    worn = np.array([row["worn"] for row in rows])
    return Known(
        items=np.array([row["item"] for row in rows]),
        rounds=np.array([row["round"] for row in rows]),
        times_s=times_s - times_s[0],
        worn=worn if (worn != NEW).any() else None,
        keys=keys if keys.any() else None,
        copies=copies.pop() if copies else MOVED,
    )


def _row(found: dict[str, Any], data: int) -> dict[str, Any]:
    """What a line says, checked."""
    row = {
        "time": float(found["time"]),
        "item": int(found["item"]),
        "round": int(found.get("round", 0)),
        "stream": str(found.get("stream", "")),
        "worn": tuple(map(float, found.get("worn", NEW))),
        "copies": found.get("copies", ""),
    }
    if len(row["worn"]) != len(NEW):
        raise ValueError(f"worn is {found['worn']}; it may be brightness, blur, degrees")
    if not min(FOREIGN.values()) <= row["item"] < data or row["round"] < 0:
        raise ValueError(f"item {row['item']} is none of the data's {data}")
    if row["copies"] not in ("", *KINDS):
        raise ValueError(f"copies is {row['copies']!r}; it may be {', '.join(KINDS)}")
    return row
