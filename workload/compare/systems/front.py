"""The plain model cascade: a small distilled CNN before the whole base DNN.

The CNN learns from the samples and copies that the plan's caches were learned from, in the same
split, and its threshold is calibrated to the same promise. It is made on demand and kept on disk.
"""

import hashlib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ValidationError
from safetensors.torch import load_file, save_file

from cache_models.bench.baselines import Front, SmallCNN, served, small_cnn
from cache_models.build.split import split
from cache_models.cache.asking import ask
from cache_models.data.augmentation import Augmented
from cache_models.data.datasets import cache_home
from cache_models.data.recording import record
from cache_models.data.samples import open_samples
from cache_models.errors import DataError
from cache_models.follow.build_samples import BuildSamples, has_samples
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import cut
from cache_models.network.preprocessing import as_tensor
from cache_models.promise.promise import Promise, calibrate
from cache_models.store.plan import Plan
from cache_models.store.versions import CacheVersion
from workload.compare.systems.whole import Whole, decode, reply

WIDTH = 32
EXIT = f"CNN-{WIDTH}"


class Card(BaseModel):
    """What must be known of a front to serve it."""

    channels: int
    width: int
    classes: int
    promise: Promise


@dataclass(frozen=True)
class Files:
    """Where a front lies."""

    folder: Path

    @classmethod
    def of(cls, plan: Plan) -> "Files":
        key = plan.fingerprint, plan.data, plan.train_data, plan.copies, plan.promise.limits, WIDTH
        name = hashlib.sha256(" ".join(map(str, key)).encode()).hexdigest()[:16]
        return cls(cache_home() / "compare" / f"cascade-{name}")

    @property
    def weights(self) -> Path:
        return self.folder / "front.safetensors"

    @property
    def card(self) -> Path:
        return self.folder / "card.json"

    def load(self) -> tuple[Front, Card] | None:
        """None where there is none that can be read."""
        try:
            card = Card.model_validate_json(self.card.read_text())
            front = Front(SmallCNN(card.channels, card.width, card.classes))
            front.load_state_dict(load_file(self.weights))
        except (OSError, ValidationError, RuntimeError):
            return None
        return front.eval(), card


def make(base: BaseDNN, version: CacheVersion, device: str = "cpu") -> Card:
    """The front for a version's plan, from disk, or learned now; what the base DNN says of the
    samples is taken from the version where it keeps it, and an interrupted recording is gone on
    with.

    Raises:
        DataError: the plan's samples are not here, are no images, or the CNN keeps no promise.
    """
    plan = version.plan
    files = Files.of(plan)
    if found := files.load():
        return found[1]
    folder = files.folder / "samples"
    samples = open_samples(plan.data, base.description, folder, plan.train_data)
    if samples.images.ndim != 4 or samples.images.dtype != np.uint8:
        raise DataError(f"a model cascade needs images, and {plan.data!r} holds none")
    train, select, calibration = split(samples)
    augmented = Augmented(samples.images, train, plan.copies)
    pictures = augmented[:]
    probabilities = _probabilities(base, version, pictures, files.folder, device)
    train, images = np.append(train, augmented.added), as_tensor(pictures).numpy()
    classes = len(base.description.classes)
    front = small_cnn(images, probabilities, train, select, WIDTH, false_hit_cost=1.0)
    labels, confidences, _ = ask(front, images, calibration)
    limits = plan.promise.limits
    answers = probabilities[calibration].argmax(1)
    promise = calibrate([labels], [confidences], answers, classes, limits)
    if promise.threshold is None:
        raise DataError("the model cascade's CNN keeps no promise at any threshold")
    card = Card(channels=images.shape[1], width=WIDTH, classes=classes, promise=promise)
    partial = files.weights.with_suffix(".partial")
    save_file(front.state_dict(), partial)
    partial.replace(files.weights)
    partial = files.card.with_suffix(".partial")
    partial.write_text(card.model_dump_json(indent=2) + "\n")
    partial.replace(files.card)
    return card


def _probabilities(
    base: BaseDNN, version: CacheVersion, images: np.ndarray, folder: Path, device: str
) -> np.ndarray:
    """The base DNN's, `(N, K)` float32."""
    known = {}
    if has_samples(version):
        build = BuildSamples(version)
        rows = np.arange(len(build.roles))
        inputs = chain.from_iterable(build.inputs(rows))
        known = {x.tobytes(): p for x, p in zip(inputs, build.probabilities(rows), strict=True)}
    found = np.empty((len(images), len(base.description.classes)), np.float32)
    unknown: list[int] = []
    for i, image in enumerate(images):
        answer = known.get(image.tobytes())
        if answer is None:
            unknown.append(i)
        else:
            found[i] = answer
    if unknown:
        recorded = record(base, cut(base), [], images[unknown], folder / "recording", device)
        found[unknown] = recorded.probabilities
    return found


class Cascade(Whole):
    """The front, and where it is not sure the whole base DNN, in one place.

    Args:
        folder: of the front's files.
    """

    def __init__(self, model: str, device: str, threads: int, folder: str):
        super().__init__(model, device, threads)
        found = Files(Path(folder)).load()
        if found is None:
            raise DataError(f"{folder} holds no front that can be read")
        front, card = found
        self._front = served(front, torch.zeros(1, card.channels, SmallCNN.SIDE, SmallCNN.SIDE))
        self._threshold = card.promise.threshold

    @torch.inference_mode()
    def answer(self, body: bytes) -> dict[str, Any]:
        images = as_tensor(decode(body, self._base)[None])
        probabilities, confidence = self._front(images)
        if confidence.item() >= self._threshold:
            return reply(self._base, probabilities, EXIT)
        return reply(self._base, self._probabilities(images), "base")
