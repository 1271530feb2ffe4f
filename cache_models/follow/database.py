"""One SQLite file that several threads read and write, each over a connection of its own: what one
has begun, no other publishes, sees half of, or waits inside of.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_S = 30.0
"""For another thread's transaction; they last milliseconds."""
LOG_BYTES = 16 * 2**20
"""Of the write-ahead log beside the file, between checkpoints."""

logger = logging.getLogger(__name__)


class Database:
    """
    Args:
        file: made if it is not there; one that cannot be read is put aside, and begun anew.
        prepare: makes the tables that are not there.
    """

    def __init__(self, file: Path, prepare: Callable[[sqlite3.Connection], None]):
        self._file = file
        self._of_thread = threading.local()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        with contextlib.suppress(PermissionError):  # another's, who has decided that
            file.chmod(0o600)  # for what is in it is the traffic's
        try:
            self._prepare(prepare)
        except sqlite3.DatabaseError as error:
            aside = file.with_name(f"{file.name}.damaged-{int(time.time())}")
            logger.error("%s cannot be read (%s); kept as %s, and begun anew", file, error, aside)
            file.rename(aside)
            for left in ("-wal", "-shm"):
                file.with_name(file.name + left).unlink(missing_ok=True)
            self._prepare(prepare)

    def _prepare(self, prepare: Callable[[sqlite3.Connection], None]) -> None:
        db = self._connect()
        try:
            if (found := db.execute("PRAGMA quick_check").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found)
            prepare(db)
            if db.execute("PRAGMA auto_vacuum").fetchone()[0] != 2:
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
                db.execute("VACUUM")  # from which on it holds
        finally:
            db.close()

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._file, timeout=WAIT_S, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        return db

    def close(self) -> None:
        """This thread's connection; with the last one, what has been written is in the file."""
        self.connection.close()
        del self._of_thread.connection

    def backup(self, file: Path) -> None:
        """A copy as of this moment, beside whatever others write meanwhile."""
        file.touch(0o600)
        copy = sqlite3.connect(file)
        try:
            self.connection.backup(copy)
        finally:
            copy.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's; a statement outside a transaction is one of its own."""
        if not hasattr(self._of_thread, "connection"):
            self._of_thread.connection = self._connect()
        return self._of_thread.connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written within is there as a whole or not at all, for other threads and after a
        crash; nothing else is written meanwhile. Within another it is a part of that."""
        with self._between("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that is read within is of the same moment; nothing may be written."""
        with self._between("BEGIN"):
            yield

    @contextmanager
    def _between(self, begin: str) -> Iterator[None]:
        db = self.connection
        if db.in_transaction:
            yield
            return
        db.execute(begin)
        try:
            yield
        except BaseException:
            db.rollback()
            raise
        db.commit()

    def used_bytes(self) -> int:
        """Of the file, without pages that are free to be written again."""
        pages, free = self._pragma("page_count"), self._pragma("freelist_count")
        return (pages - free) * self._pragma("page_size")

    def shrink(self) -> None:
        """Give free pages back to the disk; not within a transaction."""
        # as a script, since it frees a page a step, and a cursor takes one step if no rows come
        self.connection.executescript("PRAGMA incremental_vacuum")
        self._pragma("wal_checkpoint(PASSIVE)")

    def rewrite(self) -> None:
        """Leave nothing on the disk of what was deleted; not within a transaction."""
        self.connection.execute("VACUUM")
        self._pragma("wal_checkpoint(TRUNCATE)")

    def _pragma(self, name: str) -> int:
        return self.connection.execute(f"PRAGMA {name}").fetchone()[0]
