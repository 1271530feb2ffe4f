"""What the trainer remembers: recent samples, a reservoir of every class, and its own state.

One SQLite file, which survives a crash at any moment up to the last commit. A *sample* is a request
of which the base DNN's answer is known, with its features at every deployed cut point. Its role and
its priority are drawn when it arrives and never change, so that what once trained never tests.

- The *window* is the newest samples.
- The *reservoir* holds, of every base class and role, those with the least priority, a uniform
  sample of all that came (bottom-k sampling: Cohen and Kaplan 2007), the build's among them.

Anything else is deleted.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache_models.follow.traffic import SELECT, TEST, TRAIN, Traffic

logger = logging.getLogger(__name__)

ROLE_SHARES = {TRAIN: 0.3, SELECT: 0.2, TEST: 0.5}
RESERVOIR = {TRAIN: 150, SELECT: 80, TEST: 300}
"""Samples of each base class."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
    id INTEGER PRIMARY KEY, at REAL, build INTEGER, role INTEGER, class INTEGER, priority REAL,
    independent INTEGER, weight REAL, probabilities BLOB, features BLOB);
CREATE INDEX IF NOT EXISTS by_stratum ON samples (class, role, priority);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS rounds (number INTEGER PRIMARY KEY, record TEXT);
"""


@dataclass(frozen=True)
class Sample:
    """
    Attributes:
        features: at each cut point, `feature_shape` float16.
        probabilities: the base DNN's, `(K,)`.
        inclusion: with which it was chosen, independently of everything; 0 if it was not chosen but
            missed everywhere.
        role: drawn if not given; of those that were not chosen, all train.
        build: whether it is one of the build's, which do not expire.
    """

    features: Sequence[np.ndarray]
    probabilities: np.ndarray
    inclusion: float = 1.0
    role: int | None = None
    build: bool = False


class TrafficLog:
    """
    Args:
        file: made if it is not there; one that cannot be read is put aside.
        shapes: of the features at each cut point.
        window: samples that count as recent.
        expire_s: age at which a sample of the traffic is deleted.
    """

    def __init__(
        self,
        file: Path,
        shapes: Sequence[tuple[int, ...]],
        classes: int,
        window: int = 4_000,
        expire_s: float = 7 * 24 * 3600,
        seed: int | None = None,
    ):
        self._shapes, self._classes = list(shapes), classes
        self._window, self._expire_s = window, expire_s
        self._rng = np.random.default_rng(seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._db = self._open(file)
        layout = {"shapes": [list(shape) for shape in self._shapes], "classes": classes}
        if self.state("layout", layout) != layout:
            logger.warning("%s holds samples of other cut points, which are deleted", file)
            self._db.execute("DELETE FROM samples")
        self.set_state("layout", layout)
        self.commit()

    def _open(self, file: Path) -> sqlite3.Connection:
        try:
            return self._connect(file)
        except sqlite3.DatabaseError as error:
            aside = file.with_name(f"{file.name}.damaged-{int(time.time())}")
            logger.error("%s cannot be read (%s); kept as %s, and begun anew", file, error, aside)
            file.rename(aside)
            for left in ("-wal", "-shm"):
                file.with_name(file.name + left).unlink(missing_ok=True)
            return self._connect(file)

    @staticmethod
    def _connect(file: Path) -> sqlite3.Connection:
        db = sqlite3.connect(file, check_same_thread=False, timeout=30)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        if (found := db.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
            db.close()
            raise sqlite3.DatabaseError(found)
        db.executescript(SCHEMA)
        return db

    # --- samples ---------------------------------------------------------------------------------

    def add(self, samples: Iterable[Sample]) -> None:
        """To be kept from the next `commit` on."""
        self._db.executemany(
            "INSERT INTO samples (at, build, role, class, priority, independent, weight, "
            "probabilities, features) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (self._row(sample) for sample in samples),
        )

    def _row(self, sample: Sample) -> tuple:
        role = sample.role
        if role is None and not sample.inclusion:
            role = TRAIN  # it can never test, and would only crowd out what can
        elif role is None:
            role = int(self._rng.choice(list(ROLE_SHARES), p=list(ROLE_SHARES.values())))
        features = [np.asarray(part, np.float16).tobytes() for part in sample.features]
        probabilities = np.asarray(sample.probabilities, np.float32)
        return (
            time.time(),
            int(sample.build),
            role,
            int(probabilities.argmax()),
            float(self._rng.random()),
            int(sample.inclusion > 0),
            1 / sample.inclusion if sample.inclusion else 1.0,
            probabilities.tobytes(),
            b"".join(features),
        )

    def commit(self) -> None:
        """Everything until now survives a crash."""
        self._db.commit()

    def prune(self) -> None:
        """Delete what has expired, and what is neither in the window nor in the reservoir."""
        self._db.execute(
            "DELETE FROM samples WHERE NOT build AND at < ?", (time.time() - self._expire_s,)
        )
        self._db.execute(
            f"DELETE FROM samples WHERE id <= ? AND id NOT IN ({_RESERVOIR})",
            (self._window_start(),),
        )
        self.commit()

    def delete_samples(self) -> None:
        """Forget all samples of the traffic; the build's stay."""
        self._db.execute("DELETE FROM samples WHERE NOT build")
        self.commit()
        self._db.execute("VACUUM")

    def window(self) -> Traffic:
        """The newest samples of the traffic, oldest first."""
        return self._traffic("NOT build AND id > ?", (self._window_start(),))

    def reservoir(self) -> Traffic:
        """Samples of every class and role that are not in the window."""
        return self._traffic(
            f"id IN ({_RESERVOIR}) AND (build OR id <= ?)", (self._window_start(),)
        )

    def count(self, build: bool) -> int:
        """Samples that came from the build, or from the traffic."""
        return self._db.execute(
            "SELECT count(*) FROM samples WHERE build = ?", (int(build),)
        ).fetchone()[0]

    def testable(self) -> int:
        """Samples in the window that a round may test on."""
        return self._db.execute(
            "SELECT count(*) FROM samples WHERE NOT build AND independent AND role = ? AND id > ?",
            (TEST, self._window_start()),
        ).fetchone()[0]

    def _window_start(self) -> int:
        row = self._db.execute(
            "SELECT id FROM samples WHERE NOT build ORDER BY id DESC LIMIT 1 OFFSET ?",
            (self._window,),
        ).fetchone()
        return row[0] if row else -1

    def _traffic(self, where: str, values: tuple) -> Traffic:
        rows = self._db.execute(
            "SELECT role, independent, weight, probabilities, features FROM samples "
            f"WHERE {where} ORDER BY id",
            values,
        ).fetchall()
        sizes = [2 * int(np.prod(shape)) for shape in self._shapes]
        ends = np.cumsum([0, *sizes])
        features = [np.empty((len(rows), *shape), np.float16) for shape in self._shapes]
        probabilities = np.empty((len(rows), self._classes), np.float32)
        for i, row in enumerate(rows):
            probabilities[i] = np.frombuffer(row[3], np.float32)
            for j, shape in enumerate(self._shapes):
                part = row[4][ends[j] : ends[j + 1]]
                features[j][i] = np.frombuffer(part, np.float16).reshape(shape)
        return Traffic(
            features=features,
            probabilities=probabilities,
            roles=np.array([row[0] for row in rows], np.uint8),
            independent=np.array([row[1] for row in rows], bool),
            weights=np.array([row[2] for row in rows], np.float32),
        )

    # --- the trainer's own -----------------------------------------------------------------------

    def state(self, name: str, default=None):
        """What `set_state` kept."""
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def set_state(self, name: str, value) -> None:
        """Keep a JSON value from the next `commit` on."""
        self._db.execute("REPLACE INTO state VALUES (?, ?)", (name, json.dumps(value)))

    @property
    def tests(self) -> int:
        """Tests of the promise that have been spent."""
        return self.state("tests", 0)

    def spend_test(self) -> None:
        """Before any test sample is read: from now on this test's share of the error probability is
        used, also if a crash cuts it short."""
        self.set_state("tests", self.tests + 1)
        self.commit()

    def add_round(self, record: str) -> None:
        """Keep a round's record, as JSON."""
        self._db.execute("INSERT INTO rounds (record) VALUES (?)", (record,))
        self.commit()

    def count_rounds(self) -> int:
        """All that have run."""
        return self._db.execute("SELECT count(*) FROM rounds").fetchone()[0]

    def rounds(self, last: int = 100) -> list[dict]:
        """Records of the last rounds, oldest first, each with its number."""
        rows = self._db.execute(
            "SELECT number, record FROM rounds ORDER BY number DESC LIMIT ?", (last,)
        ).fetchall()
        return [{"round": number, **json.loads(record)} for number, record in reversed(rows)]


_RESERVOIR = " UNION ALL ".join(
    f"SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY class ORDER BY priority) AS place "
    f"FROM samples WHERE role = {role}) WHERE place <= {kept}"
    for role, kept in RESERVOIR.items()
)
