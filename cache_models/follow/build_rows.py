"""The build's samples in the trainer's file: a row alone, since the rest lies beside a version."""

import time
from collections.abc import Iterator, Sequence

import numpy as np

from cache_models.follow.build_samples import BuildSamples
from cache_models.follow.journal import Journal
from cache_models.follow.rows import as_bytes
from cache_models.store.strata import TEST, WANTED


class BuildRows(Journal):
    """
    Args:
        reservoir: query of the samples to keep.
    """

    def __init__(self, database, reservoir: str, rng: np.random.Generator):
        super().__init__(database)
        self._reservoir, self._rng = reservoir, rng
        self._build: BuildSamples | None = None

    def join(self, build: BuildSamples | None) -> None:
        """Let a build's samples take part, in the reservoir, from the first time on that they are
        seen here; those of another build are forgotten."""
        digest = build and build.digest
        with self.transaction():
            if self.state("build") != digest:
                self._db.execute("DELETE FROM samples WHERE build_row IS NOT NULL")
                self._db.executemany(
                    "INSERT INTO samples (at, build_row, role, apart_s, class, priority, weight, "
                    "stream) VALUES (?, ?, ?, 9e999, ?, ?, 1.0, 0)",
                    [] if build is None else self._rows_of(build),
                )
                self.set_state("build", digest)
        self._build = build

    def _rows_of(self, build: BuildSamples) -> Iterator[tuple]:
        priorities = self._rng.random(len(build.roles)).tolist()
        pairs = zip(build.roles.tolist(), build.answers.tolist(), strict=True)
        for i, (role, answer) in enumerate(pairs):
            yield time.time(), i, role, answer, priorities[i]

    def unrecorded(self, most: int) -> np.ndarray:
        """Samples of the build whose features are still to be recorded, those first that the
        reservoir needs most: all classes evenly, and test samples twice as fast as others."""
        return self._unrecorded(f"ORDER BY filled / (1 + (role = {TEST})) LIMIT {most}")

    def untestable(self, enough: int) -> int:
        """How many of the first `enough` test samples of every class are among those."""
        return len(self._unrecorded(f"AND role = {TEST} AND filled * {WANTED[TEST]} < {enough}"))

    def _unrecorded(self, which: str) -> np.ndarray:
        if self._build is None or self._build.complete:
            return np.empty(0, int)
        found = self._db.execute(
            f"SELECT build_row FROM samples JOIN ({self._reservoir}) USING (id) "
            f"WHERE build_row IS NOT NULL AND features IS NULL {which}"
        )
        return np.array([row for (row,) in found], int)

    def record(self, build_rows: np.ndarray, features: Sequence[np.ndarray]) -> None:
        """Keep features `(n, *feature_shape)` at each cut point of samples of the build."""
        rows = [
            (as_bytes([part[i] for part in features]), int(row)) for i, row in enumerate(build_rows)
        ]
        with self.transaction():
            self._make_room(sum(len(features) for features, _ in rows))
            self._db.executemany("UPDATE samples SET features = ? WHERE build_row = ?", rows)

    def _make_room(self, coming_bytes: int) -> None:
        """Such that so much can be written and the file stays below its limit."""
        raise NotImplementedError
