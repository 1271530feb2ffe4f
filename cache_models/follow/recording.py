"""Features that a build did not keep of its samples: the base DNN records them, once.

Rounds need not wait for all: their order is such that every class can soon be tested.
"""

from collections.abc import Iterator

import numpy as np
import torch

from cache_models.follow.build_samples import BuildSamples
from cache_models.follow.traffic_log import TrafficLog
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import cut
from cache_models.network.features import extract
from cache_models.network.layout import channels_last
from cache_models.network.preprocessing import as_tensor

ENOUGH = 200
"""Test samples of every class, of those that there are, from which rounds may begin: in the first
round's test of a class two of them may be wrong; of 120, none."""
BATCH = 4
"""Small, so that whoever records beside requests can stop soon."""


def record_missing(
    build: BuildSamples, base: BaseDNN, log: TrafficLog, device: str = "cpu"
) -> Iterator[bool]:
    """Put the features that `build`, which has joined `log`, lacks into it, from where that
    stopped; yields after every batch whether there are `ENOUGH`.

    Raises:
        ArtifactError: the samples cannot be read.
    """
    slices = cut(base).fast_slices(build.cut_points, device)[:-1]
    while len(rows := np.sort(log.unrecorded(BATCH))):
        (inputs,) = build.inputs(rows)
        features = []
        with torch.inference_mode():
            activation = channels_last(base.inputs(as_tensor(inputs).to(device)))
            for part in slices:
                activation = part(activation)
                features.append(extract(activation).cpu().numpy())
        log.record(rows, features)
        yield not log.untestable(ENOUGH)
