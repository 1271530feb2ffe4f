"""What else the trainer remembers, beside samples: its state, and rounds."""

import json
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from cache_models.follow.database import Database


class Elsewhere(Protocol):
    """Where all this is kept for another node, and for the time after a loss of this one."""

    def tell(self) -> None: ...

    def save(self) -> None: ...

    def soon(self) -> None: ...


class Journal:
    """
    Args:
        database: with its tables.

    Attributes:
        elsewhere: None where this file is all there is.
    """

    def __init__(self, database: Database):
        self._database = database
        self.elsewhere: Elsewhere | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        return self._database.connection

    def transaction(self) -> AbstractContextManager[None]:
        """What this thread writes within is there as a whole or not at all; see `Database`. A call
        that writes is a transaction of its own, or a part of the one that it is within.

        Raises:
            ArtifactError: it cannot be written now, as on a full disk; nothing of it is there.
        """
        return self._database.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """All that this thread reads within is of the same moment."""
        return self._database.snapshot()

    def state(self, name: str, default=None):
        """What `set_state` kept."""
        row = self._db.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else default

    def set_state(self, name: str, value) -> None:
        """Keep a JSON value."""
        with self.transaction():
            self._db.execute("REPLACE INTO state VALUES (?, ?)", (name, json.dumps(value)))

    def states(self) -> dict[str, Any]:
        """All of it, by name."""
        rows = self._db.execute("SELECT name, value FROM state").fetchall()
        return {name: json.loads(value) for name, value in rows}

    def tell(self) -> None:
        """State that no loss of this node must take, after it has been set, elsewhere, too.

        Raises:
            ArtifactError: it cannot be told now.
        """
        if self.elsewhere is not None:
            self.elsewhere.tell()

    def counts(self) -> tuple[int, ...]:
        """Which change whenever samples or rounds come or go."""
        return self._db.execute(
            "SELECT (SELECT count(*) FROM samples), (SELECT ifnull(max(id), 0) FROM samples), "
            "(SELECT count(*) FROM samples WHERE features IS NOT NULL), "
            "(SELECT count(*) FROM copies), (SELECT count(*) FROM rounds)"
        ).fetchone()

    def backup(self, file: Path) -> None:
        """A copy as of this moment."""
        self._database.backup(file)

    def add_round(self, record: str) -> None:
        """Keep a round's record, as JSON."""
        with self.transaction():
            self._db.execute("INSERT INTO rounds (record) VALUES (?)", (record,))
        if self.elsewhere is not None:
            self.elsewhere.soon()

    def count_rounds(self) -> int:
        """All that have run."""
        return self._db.execute("SELECT count(*) FROM rounds").fetchone()[0]

    def rounds(self, last: int = 100) -> list[dict]:
        """Records of the last rounds, oldest first, each with its number."""
        rows = self._db.execute(
            "SELECT number, record FROM rounds ORDER BY number DESC LIMIT ?", (last,)
        ).fetchall()
        return [{"round": number, **json.loads(record)} for number, record in reversed(rows)]
