"""Altered copies in the trainer's file: at most one of each sample that trains and whose input is
kept. A copy goes when its sample goes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cache_models.follow.journal import Journal
from cache_models.follow.rows import CONTENTS, contents, inputs_of
from cache_models.follow.traffic import Sample, Traffic
from cache_models.store.strata import TRAIN

COLUMNS = f"id, {TRAIN}, apart_s, 0.0, stream, at, NULL, 0"
"""As of `rows`: what is made from a sample is alike it, trains, and was chosen by nobody."""


class CopyRows(Journal):
    """Of a `TrafficLog`."""

    def uncopied(self, most: int) -> tuple[list[int], np.ndarray, bool] | None:
        """Some samples of the window that train and have no copy, the newest first, their inputs,
        `(n, ...)`, and whether these are resized; None if there are none."""
        rows = self._db.execute(
            f"SELECT id, input, form FROM samples WHERE role = {TRAIN} AND input IS NOT NULL "
            f"AND {self._window} AND id NOT IN (SELECT sample FROM copies) "
            f"ORDER BY id DESC LIMIT {most}",
            self._ended(),
        ).fetchall()
        if not rows:
            return None
        form = rows[0][2]
        alike = [row for row in rows if row[2] == form]
        return [row[0] for row in alike], *inputs_of([row[1] for row in alike], form)

    def add_copies(self, of: Sequence[int], copies: Sequence[Sample]) -> None:
        """Keep a copy of each of the samples `of`, but of those that have gone meanwhile."""
        rows = [(*contents(copy), id_) for id_, copy in zip(of, copies, strict=True)]
        with self.transaction():
            self._make_room(sum(len(part) for row in rows for part in row[:3] if part))
            self._db.executemany(
                f"INSERT OR REPLACE INTO copies ({CONTENTS}, sample) "
                "SELECT ?, ?, ?, ?, id FROM samples WHERE id = ?",
                rows,
            )

    def count_copies(self) -> int:
        """All that there are."""
        return self._db.execute("SELECT count(*) FROM copies").fetchone()[0]

    def copies(self, rest: Callable[[], None] = lambda: None) -> Traffic:
        """Of samples in the window; they are of no stream."""
        held = ", ".join(f"copies.{name}" for name in CONTENTS.split(", "))
        with self.snapshot():
            read = self._read(
                COLUMNS, held, f"samples JOIN copies ON sample = id WHERE {self._window}", rest
            )
        return replace(read, streams=np.zeros_like(read.streams))

    @property
    def _window(self) -> str:
        """Condition for the samples in the window, and in `_ended` its parameters."""
        raise NotImplementedError

    def _ended(self) -> dict[str, float]:
        raise NotImplementedError

    def _read(self, columns: str, held: str, where: str, rest: Callable[[], None]) -> Traffic:
        raise NotImplementedError

    def _make_room(self, coming_bytes: int) -> None:
        raise NotImplementedError
