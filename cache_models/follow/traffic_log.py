"""What the trainer remembers: recent samples, a reservoir of every class, and its own state.

One SQLite file, which survives a crash at any moment up to the last transaction. A *sample* is a
request of which the base DNN's answer is known, with its features at every deployed cut point, or
with its input and the features behind that. Its role and its priority are drawn when it arrives and
never change, so that what once trained never tests; `roles` says how, and what near neighbours of a
sample may do.

- The *window* is the newest samples that were chosen independently, since the traffic last changed.
  Beside them are requests that missed everywhere, at most as many, to train on.
- The *reservoir* holds, of every base class and role, those with the least priority, a uniform
  sample of all that came (bottom-k sampling: Cohen and Kaplan 2007), the build's among them.

Anything else is deleted, and the oldest of the rest where the file would grow beyond its limit.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from cache_models.follow import crowding
from cache_models.follow.alike import block_seconds
from cache_models.follow.build_rows import BuildRows
from cache_models.follow.copy_rows import CopyRows
from cache_models.follow.database import Database
from cache_models.follow.roles import Roles
from cache_models.follow.rows import COLUMNS, CONTENTS, INSERT, bytes_of, row_of, traffic_of
from cache_models.follow.spent_tests import SpentTests
from cache_models.follow.tables import ENDED, prepare, reservoir, window
from cache_models.follow.traffic import Sample, Traffic
from cache_models.network.description import ModelDescription
from cache_models.promise.blocks import LEAST, block_numbers, stream_number
from cache_models.promise.units import units
from cache_models.store.strata import SELECT, TEST, TRAIN

logger = logging.getLogger(__name__)

LEFT_FREE = 0.1
"""Of the limit, whenever room is made, so that it is not made for every sample."""
PAGE_BYTES = 4096
"""Of the file: as much may be left empty after a sample."""


class TrafficLog(BuildRows, CopyRows, SpentTests):
    """
    Args:
        file: made if it is not there; one that cannot be read is put aside.
        shapes: of the features at each cut point.
        window: independent samples that count as recent.
        expire_s: age at which a sample of the traffic is deleted.
        max_bytes: of the file; better more than window and reservoir take together.
        reservoir_bytes: of the features and probabilities of the reservoir's samples.
        description: of the base DNN, where samples come with inputs.
        fingerprint: of its weights; another's answers are not learned from.
        past: whether what can serve for nothing else is kept as the past of its stream.
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
        description: ModelDescription | None = None,
        fingerprint: str = "",
        past: bool = False,
    ):
        self._shapes, self._classes = [tuple(shape) for shape in shapes], classes
        self._newest, self._expire_s, self._max_bytes = window, expire_s, max_bytes
        self._description, self._past = description, past
        self._sample_bytes = 4 * classes + sum(2 * int(np.prod(shape)) for shape in shapes)
        super().__init__(
            Database(file, prepare),
            reservoir(reservoir_bytes // self._sample_bytes),
            np.random.default_rng(seed),
        )
        layout = {
            "shapes": [list(shape) for shape in self._shapes],
            "classes": classes,
            "fingerprint": fingerprint,
        }
        with self.transaction():
            if layout | self.state("layout", {}) != layout:  # older files do not say all of it
                logger.warning("%s holds samples of another base DNN or cut points: deleted", file)
                self._db.execute("DELETE FROM samples")
                self.set_state("build", None)
            self.set_state("layout", layout)
            seed = self.state("roles", {}).get("seed", int(self._rng.integers(2**32)))
            self.set_state("roles", {"seed": seed, **self.state("roles", {})})
            self._newest_read()
            # what was told of it elsewhere may be newer than the samples that came from there
            self.set_state(ENDED, min(self.state(ENDED, 0), self._newest_id()))

    # --- samples come -----------------------------------------------------------------------------

    def add(self, samples: Iterable[Sample]) -> None:
        """Keep samples of the traffic."""
        samples = list(samples)
        with self.transaction():
            if self.block_s is None and self.count(build=False) < 2 * LEAST:
                self._measure(samples)
            roles = Roles(**self.state("roles"))
            rows = [r for s in samples if (r := row_of(s, roles, self._rng, self._past))]
            self._make_room(sum(PAGE_BYTES + bytes_of(row) for row in rows))
            self._db.executemany(INSERT, rows)
            crowding.thin(self._db, sorted({row[7] for row in rows} - {None}), self._rng)

    # --- blocks -----------------------------------------------------------------------------------

    @property
    def block_s(self) -> float | None:
        """Length of a block, as last measured; 0 where every sample is one."""
        return self.state("roles").get("block_s")

    @property
    def block_or_unknown_s(self) -> float:
        """The same; what stands for it before it has been measured."""
        return Roles(**self.state("roles")).apart_s

    def measure_blocks(self) -> None:
        """Measure how long a block is, on the window; from now on it is that."""
        with self.transaction():
            self._measure([])

    def _measure(self, coming: list[Sample]) -> None:
        rows = self._db.execute(
            "SELECT class, stream, at, agreement, probabilities FROM samples "
            f"WHERE weight > 0 AND {self._window}",
            self._ended(),
        ).fetchall()
        seen = [(*row[:4], np.frombuffer(row[4], np.float32)) for row in rows]
        seen += [
            (
                int(np.argmax(s.probabilities)),
                stream_number(s.stream),
                s.at,
                s.agreement,
                s.probabilities,
            )
            for s in coming
            if s.weight
        ]
        block_s = block_seconds(seen)
        held = self.block_s
        if block_s is None or block_s == held or (held and held / 4 < block_s < held):
            return  # what wavers between two powers of two is the longer one
        now = time.time()
        self._db.execute("UPDATE samples SET apart_s = min(apart_s, max(0.0, ? - at))", (now,))
        self.set_state("roles", {**self.state("roles"), "block_s": block_s, "since": now})
        logger.info("disagreements are alike within %.3g s", block_s)

    # --- samples go -------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Delete what has expired, and what is neither in the window nor in the reservoir; if that
        is not enough, the oldest samples. To be called every minute or so."""
        with self.transaction():
            self._db.execute(
                # or dated as far ahead, by a clock that has since gone back
                "DELETE FROM samples WHERE build_row IS NULL AND abs(at - ?) > ?",
                (time.time(), self._expire_s),
            )
            self._measure([])
            self._prune()
            self._make_room(0)
        self._database.shrink()

    def _prune(self) -> None:
        self._db.execute(
            f"DELETE FROM samples WHERE NOT {self._window} "
            f"AND id NOT IN (SELECT id FROM ({self._reservoir}))",
            self._ended(),
        )

    def _make_room(self, coming_bytes: int) -> None:
        if self._database.used_bytes() + coming_bytes <= self._max_bytes:
            return
        self._prune()
        most = (1 - LEFT_FREE) * self._max_bytes - coming_bytes
        while (excess := self._database.used_bytes() - most) > 0:
            each = self._database.used_bytes() / max(1, self.count(build=False))
            deleted = self._db.execute(
                "DELETE FROM samples WHERE id IN "
                "(SELECT id FROM samples WHERE build_row IS NULL ORDER BY id LIMIT ?)",
                (1 + int(excess // each),),
            )
            if not deleted.rowcount:
                break

    def delete_samples(self, with_inputs: bool = False) -> None:
        """Forget all samples of the traffic, or those of which the input is kept, such that nothing
        of them is left on the disk, or elsewhere; the build's stay.

        Raises:
            ArtifactError: what is elsewhere cannot be deleted now.
        """
        which = "AND input IS NOT NULL" if with_inputs else ""
        with self.transaction():
            gone = self._db.execute(f"DELETE FROM samples WHERE build_row IS NULL {which}").rowcount
        if gone or not with_inputs:
            self._database.rewrite()
            if self.elsewhere is not None:
                self.elsewhere.save()

    # --- samples are read -------------------------------------------------------------------------

    @property
    def _window(self) -> str:
        return window(self._newest)

    def _ended(self) -> dict[str, int]:
        return {"ended": self.state(ENDED, 0)}

    def window(self) -> Traffic:
        """The newest samples of the traffic, oldest first."""
        with self.snapshot():
            return self._traffic(self._window)

    def reservoir(self) -> Traffic:
        """Samples of every class and role that are not in the window."""
        with self.snapshot():
            return self._traffic(self._outside())

    def window_and_reservoir(
        self, rest: Callable[[], None] = lambda: None
    ) -> tuple[Traffic, Traffic]:
        """Both as of the same moment, so that no sample is in both.

        Args:
            rest: called after every small piece of work.
        """
        with self.snapshot():
            return self._traffic(self._window, rest), self._traffic(self._outside(), rest)

    def _outside(self) -> str:
        recorded = self._build is not None and self._build.complete
        return (
            f"id IN (SELECT id FROM ({self._reservoir})) AND CASE WHEN build_row IS NULL "
            f"THEN NOT {self._window} ELSE features IS NOT NULL OR {recorded} END"
        )

    def _traffic(self, where: str, rest: Callable[[], None] = lambda: None) -> Traffic:
        return self._read(COLUMNS, CONTENTS, f"samples WHERE {where}", rest)

    def _read(self, columns: str, held: str, where: str, rest: Callable[[], None]) -> Traffic:
        rows, contents = (
            self._db.execute(f"SELECT {what} FROM {where} ORDER BY id", self._ended())
            for what in (columns, held)
        )
        return traffic_of(
            rows.fetchall(),
            contents,
            self._shapes,
            self._classes,
            self._description,
            self._build,
            self.block_or_unknown_s,
            rest,
        )

    def count(self, build: bool) -> int:
        """Samples that came from the build, or from the traffic."""
        return self._db.execute(
            "SELECT count(*) FROM samples WHERE (build_row IS NOT NULL) = ?", (build,)
        ).fetchone()[0]

    def learnable(self) -> int:
        """Samples that train, or that select, of whichever there are fewer."""
        counts = dict(
            self._db.execute(
                "SELECT role, count(*) FROM samples WHERE role = ? OR apart_s >= ? GROUP BY role",
                (TRAIN, self.block_or_unknown_s),
            ).fetchall()
        )
        return min(counts.get(role, 0) for role in (TRAIN, SELECT))

    def testable(self) -> int:
        """Units in the window that a round may test on."""
        apart_s = self.block_or_unknown_s
        rows = self._db.execute(
            "SELECT id, stream, at, weight FROM samples "
            f"WHERE weight > 0 AND role = {TEST} AND apart_s >= {apart_s} AND {self._window}",
            self._ended(),
        ).fetchall()
        ids, streams = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
        at, weights = (np.array([row[i] for row in rows], float) for i in (2, 3))
        blocks = block_numbers(streams, at, apart_s) if apart_s else ids
        return len(units(blocks, weights, np.random.default_rng(0)))

    def end_window(self) -> None:
        """The traffic is another from now on; what has come so far tests nothing for it."""
        with self.transaction():
            self.set_state(ENDED, self._newest_id())
