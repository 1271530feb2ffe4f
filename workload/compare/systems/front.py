"""Make the small CNN that a plain model cascade asks before the whole base DNN.

It learns from the samples and copies that the plan's caches were learned from, in the same split,
and its threshold is calibrated to the same promise. It is made on demand, and its graph is kept on
disk.
"""

import hashlib
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from cache_models.bench.baselines import small_cnn
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
from cache_models.network.engine.export import export
from cache_models.promise.promise import calibrate
from cache_models.store.checksums import sha256
from cache_models.store.plan import Plan
from cache_models.store.version import CacheVersion
from workload.compare.systems.cascade import CARD, GRAPH, WIDTH, Card, read


def folder_of(plan: Plan) -> Path:
    """Where the CNN for `plan` lies, or will lie."""
    key = plan.fingerprint, plan.data, plan.train_data, plan.copies, plan.promise.limits, WIDTH
    name = hashlib.sha256(" ".join(map(str, key)).encode()).hexdigest()[:16]
    return cache_home() / "compare" / f"cascade-{name}"


def make(base: BaseDNN, version: CacheVersion, device: str = "cpu") -> Card:
    """The CNN for a version's plan, from disk, or learned now; what the base DNN says of the
    samples is taken from the version where it keeps it, and an interrupted recording is gone on
    with.

    Raises:
        DataError: the plan's samples are not here, are no images, or the CNN keeps no promise.
        ExportError: PyTorch cannot make a graph of it.
    """
    plan = version.plan
    folder = folder_of(plan)
    if found := read(folder):
        return found
    samples = open_samples(plan.data, base.description, folder / "samples", plan.train_data)
    if samples.images.ndim != 4 or samples.images.dtype != np.uint8:
        raise DataError(f"a model cascade needs images, and {plan.data!r} holds none")
    train, select, calibration = split(samples)
    augmented = Augmented(samples.images, train, plan.copies)
    pictures = augmented[:]
    probabilities = _probabilities(base, version, pictures, folder, device)
    train, images = np.append(train, augmented.added), pictures.transpose(0, 3, 1, 2)
    classes = len(base.description.classes)
    front = small_cnn(images, probabilities, train, select, WIDTH, false_hit_cost=1.0)
    labels, confidences, _ = ask(front, images, calibration)
    limits = plan.promise.limits
    answers = probabilities[calibration].argmax(1)
    promise = calibrate([labels], [confidences], answers, classes, limits)
    if promise.threshold is None:
        raise DataError("the model cascade's CNN keeps no promise at any threshold")
    graph, card_file = folder / GRAPH, folder / CARD
    partial = graph.with_suffix(".partial")
    export(front, [torch.zeros(2, *images.shape[1:])], partial)
    card = Card(size=pictures.shape[1:3], checksum=sha256(partial), promise=promise)
    partial.replace(graph)
    partial = card_file.with_suffix(".partial")
    partial.write_text(card.model_dump_json(indent=2) + "\n")
    partial.replace(card_file)
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
