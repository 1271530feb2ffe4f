"""The build's own samples, kept beside its version so that retraining forgets no class.

They are stored as inputs, which are smaller than features and hold for any cut points; the trainer
records their features once, in the background, before its first round.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cache_models.base_dnn import BaseDNN
from cache_models.cutting import cut
from cache_models.features import extract
from cache_models.layout import channels_last
from cache_models.learning_data import LearningData
from cache_models.recording import as_tensor
from cache_models.store import CacheVersion
from cache_models.traffic import SELECT, TEST, TRAIN
from cache_models.traffic_log import RESERVOIR, Sample, TrafficLog

FILE = "samples.safetensors"
RECORDED = "build_samples_recorded"
BATCH = 4
"""Small, so that whoever records beside requests can stop soon."""


def pick(data: LearningData, images: np.ndarray) -> dict[str, Tensor]:
    """Samples of every base class and role for `FILE`: what trained a build never tests a round.

    Args:
        images: those of the recording.
    """
    answers, classes = data.recording.answers, data.recording.probabilities.shape[1]
    parts = {TRAIN: data.train, SELECT: data.select, TEST: data.calibrate}
    rows, roles = [], []
    for role, part in parts.items():
        for class_id in range(classes):
            of_class = part[answers[part] == class_id][: RESERVOIR[role]]
            rows.append(of_class)
            roles.append(np.full(len(of_class), role, np.uint8))
    rows, roles = np.concatenate(rows), np.concatenate(roles)
    order = np.random.default_rng(0).permutation(len(rows))  # so that a part of them is fair
    rows = rows[order]
    return {
        "inputs": torch.from_numpy(np.ascontiguousarray(images[rows])),
        "probabilities": torch.from_numpy(data.recording.probabilities[rows]).half(),
        "roles": torch.from_numpy(roles[order]),
    }


def has_samples(version: CacheVersion) -> bool:
    """Whether a version is a build's, with its samples beside it."""
    return (version.folder / FILE).exists()


def record_build(
    version: CacheVersion,
    base: BaseDNN,
    log: TrafficLog,
    device: str = "cpu",
) -> Iterator[None]:
    """Put the samples of a build's `version` into `log`, from where it stopped; yields after every
    batch.

    Raises:
        ArtifactError: the samples cannot be read.
    """
    held = version.tensors(FILE)
    names = version.plan.cut_points
    slices = cut(base).fast_slices(names, device)[:-1]
    for start in range(log.state(RECORDED, 0), len(held["roles"]), BATCH):
        rows = slice(start, start + BATCH)
        inputs = as_tensor(held["inputs"][rows].numpy()).to(device)
        features = []
        with torch.inference_mode():
            activation = channels_last(base.inputs(inputs))
            for part in slices:
                activation = part(activation)
                features.append(extract(activation).cpu().numpy())
        log.add(
            Sample([f[i] for f in features], probabilities, role=int(role), build=True)
            for i, (probabilities, role) in enumerate(
                zip(held["probabilities"][rows].float().numpy(), held["roles"][rows], strict=True)
            )
        )
        log.set_state(RECORDED, start + BATCH)
        log.commit()
        yield
