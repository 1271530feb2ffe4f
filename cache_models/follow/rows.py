"""Samples as they lie in the trainer's file, and as arrays to learn from."""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, islice

import numpy as np

from cache_models.follow.build_samples import READ_BATCH, BuildSamples
from cache_models.follow.roles import NONE, Roles
from cache_models.follow.traffic import Sample, Traffic
from cache_models.network.description import ModelDescription
from cache_models.network.features import input_features
from cache_models.promise.blocks import block_numbers, stream_number
from cache_models.store.strata import TRAIN

COLUMNS = "id, role, apart_s, weight, stream, at, build_row, features IS NULL"
CONTENTS = "probabilities, features, input, form"
"""That `traffic_of` takes."""
INSERT = (
    "INSERT INTO samples (role, apart_s, at, class, priority, weight, stream, block, agreement, "
    f"{CONTENTS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def as_bytes(features: Sequence[np.ndarray]) -> bytes:
    """A sample's features at all cut points."""
    return b"".join(np.asarray(part, np.float16).tobytes() for part in features)


def row_of(
    sample: Sample, roles: Roles, rng: np.random.Generator, past: bool = False
) -> tuple | None:
    """What `INSERT` takes of a sample that comes; None if it may serve for nothing.

    Args:
        past: whether one that may serve for nothing else is the past of those of its stream.
    """
    stream = stream_number(sample.stream)
    role, apart_s = sample.role, math.inf
    if role is None:
        role, apart_s = roles.draw(stream, sample.at, rng)
    if not sample.weight and sample.role is None:
        if roles.block_s == 0:
            role = TRAIN  # it can never test, and would only crowd out what can
        elif role != TRAIN:  # nor may it train, so near to what tests
            if not (past and sample.stream):
                return None
            role = NONE
    block = None
    if sample.weight and roles.block_s:
        at, streams = np.array([sample.at]), np.array([stream])
        block = int(block_numbers(streams, at, roles.block_s)[0])
    return (
        role,
        apart_s,
        sample.at,
        int(np.argmax(sample.probabilities)),
        float(rng.random()),
        float(sample.weight),
        stream,
        block,
        None if math.isnan(sample.agreement) else float(sample.agreement),
        *contents(sample),
    )


def bytes_of(row: tuple) -> int:
    """Of what is kept of a sample."""
    return sum(len(part) for part in row[9:] if part)


def contents(sample: Sample) -> tuple[bytes, bytes, bytes | None, str | None]:
    """Of a sample, as in `CONTENTS`."""
    said = np.asarray(sample.probabilities, np.float32).tobytes()
    if (given := sample.input) is None:
        return said, as_bytes(sample.features), None, None
    form = json.dumps([given.dtype.str, given.shape, sample.resized])
    return said, as_bytes(sample.features), given.tobytes(), form


def inputs_of(given: Sequence[bytes], form: str) -> tuple[np.ndarray, bool]:
    """Inputs of one form, `(n, ...)`, and whether they are resized."""
    dtype, shape, resized = json.loads(form)
    return np.frombuffer(b"".join(given), dtype).reshape(-1, *shape), resized


def traffic_of(
    rows: list[tuple],
    held: Iterable[tuple],
    shapes: Sequence[tuple[int, ...]],
    classes: int,
    description: ModelDescription | None,
    build: BuildSamples | None,
    apart_s: float,
    rest: Callable[[], None] = lambda: None,
) -> Traffic:
    """
    Args:
        rows: of `COLUMNS`.
        held: `CONTENTS` of each; the build's may lack them, which are read from beside its version.
        shapes: of the features at each cut point.
        description: of the base DNN, where inputs are kept.
        apart_s: length of a block, 0 where every sample is one; nearer to other roles a sample has
            none, unless it trains.
        rest: called after every small piece of work.
    """
    features = [np.empty((len(rows), *shape), np.float16) for shape in shapes]
    probabilities = np.empty((len(rows), classes), np.float32)
    for form, group in groupby(enumerate(held), lambda each: each[1][-1]):
        while some := list(islice(group, READ_BATCH)):
            for i, (said, at, _, _) in some:
                if said is not None:
                    probabilities[i] = np.frombuffer(said, np.float32)
                if at is not None:
                    _fill([part[i] for part in features[form is not None :]], at)
            if form is not None:
                assert description is not None, "inputs are kept"
                inputs, resized = inputs_of([given for _, (*_, given, _) in some], form)
                found = input_features(description, inputs, resized)
                features[0][[i for i, _ in some]] = found
                rest()
    ids, streams = (np.array([row[i] for row in rows], np.int64) for i in (0, 4))
    apart, weights, at_s = (np.array([row[i] for row in rows], float) for i in (2, 3, 5))
    blocks = block_numbers(streams, at_s, apart_s) if apart_s else ids
    roles = np.array([row[1] for row in rows], np.uint8)
    of_build = [(i, row[6], bool(row[7])) for i, row in enumerate(rows) if row[6] is not None]
    if of_build:
        assert build is not None, "its samples leave with it"
        places, build_rows, unread = map(np.array, zip(*of_build, strict=True))
        probabilities[places] = build.probabilities(build_rows)
        if unread.any():
            read = build.features(build_rows[unread])
            for part, found in zip(features, read, strict=True):
                part[places[unread]] = found
        blocks[places] = -1 - build_rows  # which know nothing of each other
        # how likely a request of the traffic was to be sampled says nothing of the build's
        others = np.delete(weights, places)
        weights[places] = others.max(initial=0.0) or 1.0
    return Traffic(
        features=features,
        probabilities=probabilities,
        roles=np.where((roles != TRAIN) & (apart < apart_s), NONE, roles).astype(np.uint8),
        weights=weights.astype(np.float32),
        blocks=blocks,
        streams=streams,
        at=at_s,
    )


def _fill(parts: Sequence[np.ndarray], at: bytes) -> None:
    """Write features into arrays of their shapes."""
    start = 0
    for part in parts:
        part[...] = np.frombuffer(at, np.float16, part.size, start).reshape(part.shape)
        start += part.nbytes
