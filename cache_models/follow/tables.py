"""The tables of the trainer's file, and what is kept of them."""

import json
import logging
import sqlite3

from cache_models.errors import ArtifactError
from cache_models.store.strata import WANTED

logger = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, build_row INTEGER, role INTEGER, apart_s REAL,
    class INTEGER, priority REAL, weight REAL, stream INTEGER, block INTEGER, agreement REAL,
    probabilities BLOB, features BLOB, input BLOB, form TEXT);
CREATE INDEX IF NOT EXISTS by_stratum ON samples (class, role, priority);
CREATE INDEX IF NOT EXISTS by_block ON samples (block);
CREATE TABLE IF NOT EXISTS copies (
    sample INTEGER PRIMARY KEY, probabilities BLOB, features BLOB, input BLOB, form TEXT);
CREATE TRIGGER IF NOT EXISTS copies_go AFTER DELETE ON samples BEGIN
    DELETE FROM copies WHERE sample = old.id; END;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS rounds (number INTEGER PRIMARY KEY, record TEXT);
"""
"""Of `samples`: `apart_s` is how far a sample is from those that may have another role; `weight` is
0 where it was not chosen independently; `block` is for `crowding`; where there is an `input`, of
that `form`, `features` are those behind it."""

FROM_BUILD_FLAG = """
BEGIN;
DELETE FROM samples WHERE build;
ALTER TABLE samples RENAME COLUMN build TO build_row;
UPDATE samples SET build_row = NULL;
COMMIT;
"""
"""Once the build's samples lay here, too, recorded anew from their inputs."""

FROM_ROLES_BY_SAMPLE = """
BEGIN;
DROP INDEX IF EXISTS by_stratum;
ALTER TABLE samples RENAME TO older;
{schema}
INSERT INTO samples (id, at, build_row, role, apart_s, class, priority, weight, stream,
                     probabilities, features)
SELECT id, at, build_row, role, CASE WHEN build_row IS NULL THEN 0.0 ELSE 9e999 END, class,
       priority, weight * independent, 0, probabilities, features FROM older ORDER BY id;
DROP TABLE older;
COMMIT;
"""
"""Once every sample had a role of its own, whatever its neighbours had."""


ENDED = "window_end"
"""Name in the state of the last sample before the traffic last changed: not of a time, for clocks
go back."""

FROM_TIME_OF_CHANGE = f"""
UPDATE state SET name = '{ENDED}', value =
    (SELECT ifnull(max(id), 0) FROM samples WHERE at <= CAST(value AS REAL))
WHERE name = 'window_ended';
"""

ODD_SAMPLE = """
SELECT id FROM samples WHERE typeof(at) || typeof(role) || typeof(apart_s) || typeof(class) ||
    typeof(priority) || typeof(weight) || typeof(stream)
    != 'realintegerrealintegerrealrealinteger' LIMIT 1
"""
"""One whose row is damaged, which SQLite cannot tell."""

FORMAT = 1
"""Of the file, as SQLite's `user_version`; 0 of files from before it was counted."""


def prepare(db: sqlite3.Connection) -> None:
    """Make the tables that are not there, and bring up older ones.

    Raises:
        ArtifactError: they are a newer release's.
        DatabaseError: a row is damaged.
    """
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        (_, _, file) = db.execute("PRAGMA database_list").fetchone()
        raise ArtifactError(
            f"{file} is of format {found}, and this release reads {FORMAT}: update gati, or move "
            f"the file away, after which caches are learned and tested anew"
        )

    def columns() -> set[str]:
        return {column[1] for column in db.execute("PRAGMA table_info(samples)")}

    if "build" in columns():
        logger.warning("the samples of an older layout are taken over, but for the build's")
        db.executescript(FROM_BUILD_FLAG)
    if "independent" in columns():
        db.executescript(FROM_ROLES_BY_SAMPLE.format(schema=SCHEMA))
    if "role" in columns() and "input" not in columns():
        db.execute("ALTER TABLE samples ADD COLUMN input BLOB")
        db.execute("ALTER TABLE samples ADD COLUMN form TEXT")
    db.executescript(SCHEMA)
    db.execute(FROM_TIME_OF_CHANGE)
    db.execute(f"PRAGMA user_version = {FORMAT}")
    if db.execute(ODD_SAMPLE).fetchone() is not None:
        raise sqlite3.DatabaseError("a sample has values of other types")
    for (text,) in db.execute("SELECT value FROM state UNION ALL SELECT record FROM rounds"):
        try:
            json.loads(text)
        except (ValueError, TypeError) as error:
            raise sqlite3.DatabaseError(f"what should be JSON is none: {error}") from error
    db.execute("DELETE FROM samples WHERE 0")  # also reads the trigger


def reservoir(most: int) -> str:
    """Query of the samples to keep, as `strata.kept` chooses them in the order of their priority:
    the id of each, and how far it fills its stratum."""
    wanted = " ".join(f"WHEN {role} THEN {count}" for role, count in WANTED.items())
    place = "row_number() OVER (PARTITION BY class, role ORDER BY priority)"
    return (
        f"SELECT id, filled FROM (SELECT id, priority, ({place} - 0.5) / CASE role {wanted} END "
        f"AS filled FROM samples) WHERE filled < 1 ORDER BY filled, priority LIMIT {most}"
    )


def window(most: int) -> str:
    """Condition for the samples of the traffic since it last changed, after that of the id
    `:ended`: the newest `most` that were chosen independently, and those beside them that were not,
    at most as many."""
    sample, chosen, other = "build_row IS NULL", "weight > 0", "weight = 0"

    def newest(which: str) -> str:
        """The last that is too old."""
        return (
            f"ifnull((SELECT id FROM samples WHERE {sample} AND {which} ORDER BY id DESC LIMIT 1 "
            f"OFFSET {most}), -1)"
        )

    return (
        f"({sample} AND id > :ended AND id > {newest(chosen)} "
        f"AND (weight > 0 OR id > {newest(other)}))"
    )
