"""Record once what the caches learn from: features at cut points, and the base DNN's answers.

Features go to memory-mapped files, so that memory stays bounded (one batch of activations) whatever
the number of samples: at most 16 KB a sample and cut point on disk.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from cache_models.data.augmentation import Augmented
from cache_models.network.base_dnn import BaseDNN
from cache_models.network.cutting import CutModel
from cache_models.network.engine.interface import TOGETHER, DType
from cache_models.network.features import KIND, feature_shape, input_features
from cache_models.network.slice_engines import slice_engines


@dataclass(frozen=True)
class Recording:
    """Of N inputs.

    Attributes:
        features: `(N, *feature_shape)` fp16 by cut point.
        probabilities: the base DNN's, `(N, K)` float32.
        digest: names the model, the cut points and the inputs.
        given: the labels `(N,)` that partitions answer, where they compute in another dtype than
            float32; features are then those of that dtype, too.
    """

    features: dict[str, np.ndarray]
    probabilities: np.ndarray
    digest: str
    given: np.ndarray | None = None

    @property
    def answers(self) -> np.ndarray:
        """The base DNN's labels, `(N,)` int64."""
        return self.probabilities.argmax(1)


def record(
    base: BaseDNN,
    model: CutModel,
    names: Sequence[str],
    images: np.ndarray | Augmented,
    folder: Path,
    device: str = "cpu",
    batch: int = 50,
    dtype: DType = "float32",
) -> Recording:
    """Run the base DNN over `images` and keep features at the cut points `names`.

    Args:
        dtype: in which partitions will compute; the base DNN's own answers are in float32.
        images: `(N, h, w, C)` uint8, or `(N, *input_shape)` float32 that needs no preprocessing.
        batch: inputs between two writes to disk; on a GPU they are computed at once.
        folder: for the memory-mapped files. A recording of the same model, cut points and images
            that lies there is gone on with; anything else is overwritten.
    """
    if dtype != "float32":
        exact = record(base, model, [], images, folder / "float32", device, batch)
        served = _record_in(base, model, names, images, folder / dtype, device, batch, dtype)
        return replace(served, probabilities=exact.probabilities, given=served.answers)
    return _record_in(base, model, names, images, folder, device, batch, dtype)


def _record_in(
    base: BaseDNN,
    model: CutModel,
    names: Sequence[str],
    images: np.ndarray | Augmented,
    folder: Path,
    device: str,
    batch: int,
    dtype: DType,
) -> Recording:
    """As of `record`, probabilities as computed in `dtype`, too."""
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{base.fingerprint()} {list(names)} {images.shape} {KIND}"
    digest = hashlib.sha256(about.encode())
    copies, given = images.recipe if isinstance(images, Augmented) else (b"", images)
    digest.update(copies)
    for start in range(0, len(given), batch):
        digest.update(np.ascontiguousarray(given[start : start + batch]).data)
    progress = folder / "progress.json"
    done = _done(progress, digest.hexdigest())

    def memmap(file: str, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
        mode = "r+" if done else "w+"
        return np.lib.format.open_memmap(folder / file, mode, dtype, (len(images), *shape))

    features = {
        name: memmap(f"{i}.npy", np.float16, feature_shape(model[name].shape))
        for i, name in enumerate(names)
    }
    classes = len(base.description.classes)
    probabilities = memmap("probabilities.npy", np.float32, (classes,))
    engines = (
        slice_engines(base, model, names, None, device, "auto", dtype) if done < len(images) else []
    )
    *hidden, last = engines or [None]
    together = TOGETHER if torch.device(device).type == "cpu" else batch
    with tqdm(total=len(images), initial=done, desc="record", unit="image") as bar:
        for start in range(done, len(images), batch):
            given = images[start : start + batch]
            for at in range(0, len(given), together):
                some = given[at : at + together]
                rows = slice(start + at, start + at + len(some))
                activation = base.description.inputs(some)
                for name, engine in zip(names, hidden, strict=True):
                    if engine is None:
                        features[name][rows] = input_features(base.description, some)
                    else:
                        features[name][rows], activation = engine(activation)
                assert last is not None
                _, probabilities[rows] = last(activation)
            for array in (*features.values(), probabilities):
                array.flush()
            done = start + len(given)
            progress.write_text(json.dumps({"recording": digest.hexdigest(), "done": done}))
            bar.update(len(given))
    return Recording(features, np.array(probabilities), digest.hexdigest())


def _done(progress: Path, digest: str) -> int:
    try:
        found = json.loads(progress.read_text())
        return int(found["done"]) if found["recording"] == digest else 0
    except (OSError, ValueError, KeyError):
        return 0
