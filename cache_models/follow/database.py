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

from cache_models.errors import ArtifactError, unwritable

WAIT_S = 30.0
"""For another thread's transaction; they last milliseconds."""
LOG_BYTES = 16 * 2**20
"""Of the write-ahead log beside the file, between checkpoints."""

logger = logging.getLogger(__name__)


class Database:
    """
    Args:
        file: made if it is not there; one that is damaged is put aside, and begun anew.
        prepare: makes the tables that are not there.

    Raises:
        ArtifactError: here and below: it cannot be read or written now, as on a full disk.
    """

    def __init__(self, file: Path, prepare: Callable[[sqlite3.Connection], None]):
        self._file = file
        self._of_thread = threading.local()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        except OSError as error:
            raise unwritable(file, error) from error
        with contextlib.suppress(PermissionError):  # another's, who has decided that
            file.chmod(0o600)  # for what is in it is the traffic's
        try:
            self._prepare(prepare)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the second of its messages
            if not _is_damage(error):
                raise unwritable(file, error) from error
            aside = file.with_name(f"{file.name}.damaged-{int(time.time())}")
            logger.error("%s cannot be read (%s); kept as %s, and begun anew", file, error, aside)
            for end in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    file.with_name(file.name + end).rename(aside.with_name(aside.name + end))
            file.touch(0o600)
            self._prepare(prepare)

    def _prepare(self, prepare: Callable[[sqlite3.Connection], None]) -> None:
        db = self._connect()
        try:
            if (found := db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found)
            try:
                prepare(db)
            except sqlite3.OperationalError as error:
                if _code(error) in (None, sqlite3.SQLITE_ERROR):  # it has other tables
                    raise sqlite3.DatabaseError(str(error)) from error
                raise
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
        try:
            db.execute(begin)
            yield
            db.commit()
        except BaseException as error:
            with contextlib.suppress(sqlite3.OperationalError):
                db.rollback()
            if isinstance(error, sqlite3.DatabaseError) and _is_damage(error):
                raise ArtifactError(
                    f"{self._file} is damaged: {error}. Restart the application, which puts the "
                    f"file aside."
                ) from error
            if isinstance(error, sqlite3.OperationalError):
                raise unwritable(self._file, error) from error
            raise

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


def _is_damage(error: Exception) -> bool:
    """Of the file itself, rather than of the disk, or of who may read it."""
    if (code := _code(error)) is None:  # Python cannot decode it, or we have found it
        return type(error) in (sqlite3.DatabaseError, sqlite3.OperationalError, UnicodeDecodeError)
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: Exception) -> int | None:
    """SQLite's, if it comes from there."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
