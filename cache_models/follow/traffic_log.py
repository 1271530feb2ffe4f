"""What the trainer remembers: recent samples, a reservoir of every class, and its own state.

One SQLite file, which survives a crash at any moment up to the last transaction. A *sample* is a
request of which the base DNN's answer is known, with its features at every deployed cut point. Its
role and its priority are drawn when it arrives and never change, so that what once trained never
tests.

- The *window* is the newest samples, since the traffic last changed.
- The *reservoir* holds, of every base class and role, those with the least priority, a uniform
  sample of all that came (bottom-k sampling: Cohen and Kaplan 2007), the build's among them. Of
  these there is a row alone: what the build has recorded lies beside its version.

Anything else is deleted, and the oldest of the rest where the file would grow beyond its limit.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache_models.follow.build_samples import BuildSamples
from cache_models.follow.database import Database
from cache_models.follow.journal import Journal
from cache_models.follow.tables import prepare, reservoir
from cache_models.follow.traffic import Traffic
from cache_models.store.strata import SELECT, TEST, TRAIN, WANTED

logger = logging.getLogger(__name__)

ROLE_SHARES = {TRAIN: 0.3, SELECT: 0.2, TEST: 0.5}
LEFT_FREE = 0.1
"""Of the limit, whenever room is made, so that it is not made for every sample."""


@dataclass(frozen=True)
class Sample:
    """
    Attributes:
        features: at each cut point, `feature_shape` float16.
        probabilities: the base DNN's, `(K,)`.
        inclusion: with which it was chosen, independently of everything; 0 if it was not chosen but
            missed everywhere.
        role: drawn if not given; of those that were not chosen, all train.
    """

    features: Sequence[np.ndarray]
    probabilities: np.ndarray
    inclusion: float = 1.0
    role: int | None = None


class TrafficLog(Journal):
    """
    Args:
        file: made if it is not there; one that cannot be read is put aside.
        shapes: of the features at each cut point.
        window: samples that count as recent.
        expire_s: age at which a sample of the traffic is deleted.
        max_bytes: of the file; better more than window and reservoir take together.
        reservoir_bytes: of the features and probabilities of the reservoir's samples.
    """

    def __init__(
        self,
        file: Path,
        shapes: Sequence[tuple[int, ...]],
        classes: int,
        window: int = 4_000,
        expire_s: float = 7 * 24 * 3600,
        max_bytes: int = 2**30,
        reservoir_bytes: int = 2**28,
        seed: int | None = None,
    ):
        super().__init__(Database(file, prepare))
        self._shapes, self._classes = [tuple(shape) for shape in shapes], classes
        self._window, self._expire_s, self._max_bytes = window, expire_s, max_bytes
        self._sample_bytes = 4 * classes + sum(2 * int(np.prod(shape)) for shape in shapes)
        self._reservoir = reservoir(reservoir_bytes // self._sample_bytes)
        self._rng = np.random.default_rng(seed)
        self._build: BuildSamples | None = None
        layout = {"shapes": [list(shape) for shape in self._shapes], "classes": classes}
        with self.transaction():
            if self.state("layout", layout) != layout:
                logger.warning("%s holds samples of other cut points, which are deleted", file)
                self._db.execute("DELETE FROM samples")
                self.set_state("build", None)
            self.set_state("layout", layout)

    def add(self, samples: Iterable[Sample]) -> None:
        """Keep samples of the traffic."""
        rows = [self._row(sample) for sample in samples]
        with self.transaction():
            self._make_room(len(rows) * self._sample_bytes)
            self._db.executemany(
                "INSERT INTO samples (at, role, class, priority, independent, weight, "
                "probabilities, features) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )

    def _row(self, sample: Sample) -> tuple:
        role = sample.role
        if role is None and not sample.inclusion:
            role = TRAIN  # it can never test, and would only crowd out what can
        elif role is None:
            role = int(self._rng.choice(list(ROLE_SHARES), p=list(ROLE_SHARES.values())))
        probabilities = np.asarray(sample.probabilities, np.float32)
        return (
            time.time(),
            role,
            int(probabilities.argmax()),
            float(self._rng.random()),
            int(sample.inclusion > 0),
            1 / sample.inclusion if sample.inclusion else 1.0,
            probabilities.tobytes(),
            _bytes(sample.features),
        )

    def join(self, build: BuildSamples | None) -> None:
        """Let a build's samples take part, in the reservoir, from the first time on that they are
        seen here; those of another build are forgotten."""
        digest = build and build.digest
        with self.transaction():
            if self.state("build") != digest:
                self._db.execute("DELETE FROM samples WHERE build_row IS NOT NULL")
                self._db.executemany(
                    "INSERT INTO samples (at, build_row, role, class, priority, independent, "
                    "weight) VALUES (?, ?, ?, ?, ?, 1, 1.0)",
                    [] if build is None else self._build_rows(build),
                )
                self.set_state("build", digest)
        self._build = build

    def _build_rows(self, build: BuildSamples) -> Iterator[tuple]:
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
        with self.transaction():
            self._make_room(len(build_rows) * self._sample_bytes)
            self._db.executemany(
                "UPDATE samples SET features = ? WHERE build_row = ?",
                [
                    (_bytes([part[i] for part in features]), int(row))
                    for i, row in enumerate(build_rows)
                ],
            )

    def tidy(self) -> None:
        """Delete what has expired, and what is neither in the window nor in the reservoir; if that
        is not enough, the oldest samples. To be called every minute or so."""
        with self.transaction():
            self._db.execute(
                "DELETE FROM samples WHERE build_row IS NULL AND at < ?",
                (time.time() - self._expire_s,),
            )
            self._prune()
            self._make_room(0)
        self._database.shrink()

    def _prune(self) -> None:
        self._db.execute(
            f"DELETE FROM samples WHERE id <= ? AND id NOT IN (SELECT id FROM ({self._reservoir}))",
            (self._window_start(),),
        )

    def _make_room(self, coming_bytes: int) -> None:
        """Such that so much can be written and the file stays below its limit."""
        if self._database.used_bytes() + coming_bytes <= self._max_bytes:
            return
        self._prune()
        most = (1 - LEFT_FREE) * self._max_bytes - coming_bytes
        while (excess := self._database.used_bytes() - most) > 0:
            deleted = self._db.execute(
                "DELETE FROM samples WHERE id IN "
                "(SELECT id FROM samples WHERE build_row IS NULL ORDER BY id LIMIT ?)",
                (1 + int(excess // self._sample_bytes),),
            )
            if not deleted.rowcount:
                break

    def delete_samples(self) -> None:
        """Forget all samples of the traffic; the build's stay."""
        with self.transaction():
            self._db.execute("DELETE FROM samples WHERE build_row IS NULL")
        self._database.rewrite()

    def window(self) -> Traffic:
        """The newest samples of the traffic, oldest first."""
        return self._traffic(self._window_rows())

    def reservoir(self) -> Traffic:
        """Samples of every class and role that are not in the window."""
        return self._traffic(self._reservoir_rows())

    def window_and_reservoir(self) -> tuple[Traffic, Traffic]:
        """Both as of the same moment, so that no sample is in both."""
        with self.snapshot():
            window, reservoir = self._window_rows(), self._reservoir_rows()
        return self._traffic(window), self._traffic(reservoir)

    def _window_rows(self) -> list[tuple]:
        with self.snapshot():
            return self._rows("build_row IS NULL AND id > ?", (self._window_start(),))

    def _reservoir_rows(self) -> list[tuple]:
        recorded = self._build is not None and self._build.complete
        with self.snapshot():
            return self._rows(
                f"id IN (SELECT id FROM ({self._reservoir})) "
                "AND CASE WHEN build_row IS NULL THEN id <= ? ELSE features IS NOT NULL OR ? END",
                (self._window_start(), recorded),
            )

    def _rows(self, where: str, values: tuple) -> list[tuple]:
        return self._db.execute(
            "SELECT id, role, independent * weight, build_row, probabilities, features "
            f"FROM samples WHERE {where} ORDER BY id",
            values,
        ).fetchall()

    def count(self, build: bool) -> int:
        """Samples that came from the build, or from the traffic."""
        return self._db.execute(
            "SELECT count(*) FROM samples WHERE (build_row IS NOT NULL) = ?", (build,)
        ).fetchone()[0]

    def testable(self) -> int:
        """Samples in the window that a round may test on."""
        return self._db.execute(
            "SELECT count(*) FROM samples "
            "WHERE build_row IS NULL AND independent AND role = ? AND id > ?",
            (TEST, self._window_start()),
        ).fetchone()[0]

    def end_window(self) -> None:
        """The traffic is another from now on; what has come so far tests nothing for it."""
        self.set_state("window_ended", time.time())

    def _window_start(self) -> int:
        """The newest sample that is too old, or -1."""
        return self._db.execute(
            "SELECT ifnull(max(id), -1) FROM samples WHERE build_row IS NULL AND (at <= ? OR id <= "
            "(SELECT id FROM samples WHERE build_row IS NULL ORDER BY id DESC LIMIT 1 OFFSET ?))",
            (self.state("window_ended", 0.0), self._window),
        ).fetchone()[0]

    def _traffic(self, rows: list[tuple]) -> Traffic:
        ends = np.cumsum([0, *(2 * int(np.prod(shape)) for shape in self._shapes)])
        features = [np.empty((len(rows), *shape), np.float16) for shape in self._shapes]
        probabilities = np.empty((len(rows), self._classes), np.float32)
        for i, (*_, said, at) in enumerate(rows):
            if said is not None:
                probabilities[i] = np.frombuffer(said, np.float32)
            if at is not None:
                for j, shape in enumerate(self._shapes):
                    part = at[ends[j] : ends[j + 1]]
                    features[j][i] = np.frombuffer(part, np.float16).reshape(shape)
        build = [(i, row[3], row[5] is None) for i, row in enumerate(rows) if row[3] is not None]
        if build:
            places, build_rows, unread = map(np.array, zip(*build, strict=True))
            probabilities[places] = self._build.probabilities(build_rows)
            if unread.any():
                read = self._build.features(build_rows[unread])
                for part, found in zip(features, read, strict=True):
                    part[places[unread]] = found
        return Traffic(
            features=features,
            probabilities=probabilities,
            roles=np.array([row[1] for row in rows], np.uint8),
            weights=np.array([row[2] for row in rows], np.float32),
            blocks=np.array([row[0] for row in rows], np.int64),
        )


def _bytes(features: Sequence[np.ndarray]) -> bytes:
    return b"".join(np.asarray(part, np.float16).tobytes() for part in features)
