"""Requests of a stream as files, in the order in which they would be sent: samples to build on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from workload.errors import ParameterError
from workload.samples import Sample, Samples, Sound, is_picture, wav

TEXTS, LISTED = "requests.txt", "requests.jsonl"
"""A text a line; or a JSON object a line, of files, and of texts that have keys."""


def keep(
    samples: Samples,
    folder: Path,
    keys: np.ndarray | None = None,
    times_s: np.ndarray | None = None,
) -> None:
    """Each picture as a PNG and each sound as a WAV, by number, and a file that lists them; texts a
    line each in one file: in forms that builds read.

    Args:
        keys, times_s: whose each is, and when it is due, `(n,)`, for its line; without either of
            them lines say neither.

    Raises:
        ParameterError: the folder holds something already, or these are tensors.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ParameterError(f"{folder} is not empty: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    numbered = enumerate(tqdm(samples, total=len(samples), desc="keep"))
    rows = [_written(sample, folder, number) for number, sample in numbered]
    if keys is not None and times_s is not None:
        for row, key, time_s in zip(rows, keys.tolist(), times_s.tolist(), strict=True):
            row |= {"stream": key, "at": round(time_s, 6)} if key else {}
    if any(row.keys() != {"text"} for row in rows):
        (folder / LISTED).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        (folder / TEXTS).write_text("".join(row["text"] + "\n" for row in rows))


def _written(sample: Sample, folder: Path, number: int) -> dict[str, Any]:
    """What a line says of it: its file, which is written, or itself, where it is a text."""
    match sample:
        case str():
            return {"text": " ".join(sample.split())}
        case Sound():
            name = f"{number:07}.wav"
            (folder / name).write_bytes(wav(sample))
        case _ if is_picture(sample):
            name = f"{number:07}.png"
            picture = sample[..., 0] if sample.shape[2] == 1 else sample
            Image.fromarray(picture).save(folder / name)
        case _:
            raise ParameterError("these are tensors, in an array already: build on that")
    return {"file": name}
