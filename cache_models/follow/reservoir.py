"""The build's own samples, kept beside its version so that retraining forgets no class.

They are stored as inputs, which are smaller than features and hold for any cut points; the trainer
records their features once, in the background. Its first round need not wait for all of them: the
samples are recorded in such an order that every class can soon be tested.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from cache_models.build.split import LearningData
from cache_models.follow.traffic import SELECT, TEST, TRAIN
from cache_models.follow.traffic_log import RESERVOIR, Sample, TrafficLog
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import cut
from cache_models.network.features import extract
from cache_models.network.layout import channels_last
from cache_models.network.preprocessing import as_tensor
from cache_models.store.versions import CacheVersion

FILE = "samples.safetensors"
RECORDED = "build_samples_recorded_in_order"
ENOUGH = 200
"""Test samples of every class, of those that there are, from which rounds may begin: in the first
round's test of a class two of them may be wrong; of 120, none."""
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


def recording_order(answers: np.ndarray, roles: np.ndarray) -> tuple[np.ndarray, int]:
    """All classes evenly, and test samples twice as fast as others.

    Args:
        answers: the base DNN's labels `(N,)`.
        roles: `(N,)`.

    Returns:
        The samples in the order in which to record them `(N,)`, and after how many of them there
        are `ENOUGH` of every class.
    """
    place, due = np.empty(len(roles)), np.empty(len(roles))
    for role, kept in RESERVOIR.items():
        for class_id in np.unique(answers):
            rows = np.flatnonzero((roles == role) & (answers == class_id))
            place[rows] = np.arange(len(rows))
            due[rows] = place[rows] / kept / (2 if role == TEST else 1)
    order = np.argsort(due, kind="stable")
    needed = np.flatnonzero((roles[order] == TEST) & (place[order] < ENOUGH))
    return order, int(needed[-1]) + 1 if len(needed) else 0


def record_build(
    version: CacheVersion,
    base: BaseDNN,
    log: TrafficLog,
    device: str = "cpu",
) -> Iterator[bool]:
    """Put the samples of a build's `version` into `log`, from where it stopped; yields before the
    first batch and after every one whether there are `ENOUGH`.

    Raises:
        ArtifactError: the samples cannot be read.
    """
    held = version.tensors(FILE)
    names = version.plan.cut_points
    slices = cut(base).fast_slices(names, device)[:-1]
    order, enough = recording_order(held["probabilities"].argmax(1).numpy(), held["roles"].numpy())
    done = log.state(RECORDED, 0)
    yield done >= enough
    for start in range(done, len(order), BATCH):
        rows = order[start : start + BATCH]
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
        yield start + BATCH >= enough
