"""The build's own samples, kept beside its version so that retraining forgets no class.

Their features at deployed cut points behind the input were recorded by the build; those at the
input are computed from the inputs when a round reads them, which takes less room and little time.
Where a cut point's are missing, since an older build kept none or the cut points were proposed
after it, they have to be recorded first.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from safetensors import SafetensorError, safe_open

from cache_models.errors import ArtifactError
from cache_models.network.features import input_features
from cache_models.network.stages import INPUT
from cache_models.store.files import SAMPLES, features_at
from cache_models.store.version import CacheVersion

READ_BATCH = 64
"""Inputs, which may be large."""


def has_samples(version: CacheVersion) -> bool:
    """Whether a version is a build's, with its samples beside it."""
    return (version.folder / SAMPLES).exists()


class BuildSamples:
    """
    Args:
        version: with samples.
        rest: called after every small piece of work.

    Attributes:
        digest: tells them from another build's.
        roles: `(N,)`.
        answers: the base DNN's labels, `(N,)`.
        complete: whether their features can be had at every cut point of the version.

    Raises:
        ArtifactError: here and below: they cannot be read.
    """

    def __init__(self, version: CacheVersion, rest: Callable[[], None] = lambda: None):
        self._file, self._rest = version.file(SAMPLES), rest
        self._description, self.cut_points = version.plan.description, version.plan.cut_points
        self.digest = version.checksum(SAMPLES)
        with self._opened() as held:
            self.roles = held.get_tensor("roles")
            self._probabilities = held.get_tensor("probabilities")
            hidden = {features_at(name) for name in self.cut_points if name != INPUT}
            self.complete = hidden <= set(held.keys())
        self.answers = self._probabilities.argmax(1)

    @contextmanager
    def _opened(self) -> Iterator[safe_open]:
        try:
            with safe_open(self._file, "numpy") as held:
                yield held
        except (SafetensorError, OSError) as error:
            raise ArtifactError(f"{self._file} cannot be read: {error}") from error

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        """The base DNN's, `(n, K)` float32, of some samples."""
        return self._probabilities[rows].astype(np.float32)

    def inputs(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """As they were given to the build, a few at a time.

        Args:
            rows: ascending.
        """
        with self._opened() as held:
            inputs = held.get_slice("inputs")
            for start in range(0, len(rows), READ_BATCH):
                some = rows[start : start + READ_BATCH]
                yield inputs[int(some[0]) : int(some[-1]) + 1][some - some[0]]

    def features(self, rows: np.ndarray) -> list[np.ndarray]:
        """`(n, *feature_shape)` float16 at each cut point; of a `complete` build.

        Args:
            rows: ascending.
        """
        return [
            self._at_input(rows) if name == INPUT else self._recorded(name, rows)
            for name in self.cut_points
        ]

    def _recorded(self, name: str, rows: np.ndarray) -> np.ndarray:
        with self._opened() as held:
            return held.get_tensor(features_at(name))[rows]

    def _at_input(self, rows: np.ndarray) -> np.ndarray:
        found = []
        for inputs in self.inputs(rows):
            found.append(input_features(self._description, inputs))
            self._rest()
        return np.concatenate(found)
