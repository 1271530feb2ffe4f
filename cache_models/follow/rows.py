"""Samples as they lie in the trainer's file, and as arrays to learn from."""

import math
from collections.abc import Sequence

import numpy as np

from cache_models.follow.build_samples import BuildSamples
from cache_models.follow.roles import NONE, Roles
from cache_models.follow.traffic import Sample, Traffic
from cache_models.promise.blocks import block_numbers, stream_number
from cache_models.store.strata import TRAIN

COLUMNS = "id, role, apart_s, weight, stream, at, build_row, probabilities, features"
"""That `traffic_of` takes."""
INSERT = (
    "INSERT INTO samples (role, apart_s, at, class, priority, weight, stream, block, agreement, "
    "probabilities, features) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def as_bytes(features: Sequence[np.ndarray]) -> bytes:
    """A sample's features at all cut points."""
    return b"".join(np.asarray(part, np.float16).tobytes() for part in features)


def row_of(sample: Sample, roles: Roles, rng: np.random.Generator) -> tuple | None:
    """What `INSERT` takes of a sample that comes; None if it may serve for nothing."""
    stream = stream_number(sample.stream)
    role, apart_s = sample.role, math.inf
    if role is None:
        role, apart_s = roles.draw(stream, sample.at, rng)
    if not sample.weight and sample.role is None:
        if roles.block_s == 0:
            role = TRAIN  # it can never test, and would only crowd out what can
        elif role != TRAIN:
            return None  # nor may it train, so near to what tests
    block = None
    if sample.weight and roles.block_s:
        at, streams = np.array([sample.at]), np.array([stream])
        block = int(block_numbers(streams, at, roles.block_s)[0])
    probabilities = np.asarray(sample.probabilities, np.float32)
    return (
        role,
        apart_s,
        sample.at,
        int(probabilities.argmax()),
        float(rng.random()),
        float(sample.weight),
        stream,
        block,
        None if math.isnan(sample.agreement) else float(sample.agreement),
        probabilities.tobytes(),
        as_bytes(sample.features),
    )


def traffic_of(
    rows: list[tuple],
    shapes: Sequence[tuple[int, ...]],
    classes: int,
    build: BuildSamples | None,
    block_s: float,
    apart_s: float,
) -> Traffic:
    """
    Args:
        rows: of `COLUMNS`; the build's may lack probabilities and features, which are read from
            beside its version.
        shapes: of the features at each cut point.
        block_s: length of a block; 0 where every sample is one.
        apart_s: nearer to other roles a sample has none, unless it trains.
    """
    ends = np.cumsum([0, *(2 * int(np.prod(shape)) for shape in shapes)])
    features = [np.empty((len(rows), *shape), np.float16) for shape in shapes]
    probabilities = np.empty((len(rows), classes), np.float32)
    for i, (*_, said, at) in enumerate(rows):
        if said is not None:
            probabilities[i] = np.frombuffer(said, np.float32)
        if at is not None:
            for j, shape in enumerate(shapes):
                part = at[ends[j] : ends[j + 1]]
                features[j][i] = np.frombuffer(part, np.float16).reshape(shape)
    ids, streams = (np.array([row[i] for row in rows], np.int64) for i in (0, 4))
    apart, weights, at_s = (np.array([row[i] for row in rows], float) for i in (2, 3, 5))
    blocks = block_numbers(streams, at_s, block_s) if block_s else ids
    roles = np.array([row[1] for row in rows], np.uint8)
    of_build = [(i, row[6], row[8] is None) for i, row in enumerate(rows) if row[6] is not None]
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
    )
