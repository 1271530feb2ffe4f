"""Features that a build did not keep of its samples: the base DNN records them, once.

Rounds need not wait for all: their order is such that every class can soon be tested.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from cache_models.follow.build_samples import BuildSamples
from cache_models.follow.traffic_log import TrafficLog
from cache_models.network.description import ModelDescription
from cache_models.network.engine.interface import Engine
from cache_models.network.features import input_features
from cache_models.network.stages import INPUT
from cache_models.store.graphs import partition_engine
from cache_models.store.plan import Plan

ENOUGH = 200
"""Test samples of every class, of those that there are, from which rounds may begin: in the first
round's test of a class two of them may be wrong; of 120, none."""
BATCH = 4
"""Small, so that whoever records beside requests can stop soon."""


def record_missing(
    build: BuildSamples,
    description: ModelDescription,
    engines: Sequence[Engine | None],
    log: TrafficLog,
) -> Iterator[bool]:
    """Put the features that `build`, which has joined `log`, lacks into it, from where that
    stopped; yields after every batch whether there are `ENOUGH`.

    Args:
        engines: of the slices that end at the build's cut points; None for one that is nothing to
            run.

    Raises:
        ArtifactError: the samples cannot be read.
    """
    while len(rows := np.sort(log.unrecorded(BATCH))):
        (inputs,) = build.inputs(rows)
        features = []
        activation = description.inputs(inputs)
        for engine in engines:
            if engine is None:
                features.append(input_features(description, inputs))
            else:
                found, activation = engine(activation)
                features.append(found)
        log.record(rows, features)
        yield not log.untestable(ENOUGH)


def slice_engines(store: Path | str, plan: Plan, threads: int) -> list[Engine | None]:
    """Of all slices of a plan's base DNN; None for one that ends at the input.

    Raises:
        ArtifactError, EngineError: as of `partition_engine`.
    """
    ends = {stage.end: stage for stage in plan.stages() if not stage.is_lookup}
    return [
        None if name == INPUT else partition_engine(store, plan, ends[name], "auto", threads, "cpu")
        for name in (*plan.cut_points, None)
    ]
