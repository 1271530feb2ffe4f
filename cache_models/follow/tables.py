"""The tables of the trainer's file."""

import logging
import sqlite3

from cache_models.store.strata import WANTED

logger = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS samples (
    id INTEGER PRIMARY KEY, at REAL, build_row INTEGER, role INTEGER, class INTEGER, priority REAL,
    independent INTEGER, weight REAL, probabilities BLOB, features BLOB);
CREATE INDEX IF NOT EXISTS by_stratum ON samples (class, role, priority);
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS rounds (number INTEGER PRIMARY KEY, record TEXT);
"""
FROM_BUILD_FLAG = """
BEGIN;
DELETE FROM samples WHERE build;
ALTER TABLE samples RENAME COLUMN build TO build_row;
UPDATE samples SET build_row = NULL;
COMMIT;
"""
"""Once the build's samples lay here, too, recorded anew from their inputs."""


def prepare(db: sqlite3.Connection) -> None:
    """Make the tables that are not there, and bring up older ones."""
    if any(column[1] == "build" for column in db.execute("PRAGMA table_info(samples)")):
        logger.warning("the samples of an older layout are taken over, but for the build's")
        db.executescript(FROM_BUILD_FLAG)
    db.executescript(SCHEMA)


def reservoir(most: int) -> str:
    """Query of the samples to keep, as `strata.kept` chooses them in the order of their priority:
    the id of each, and how far it fills its stratum."""
    wanted = " ".join(f"WHEN {role} THEN {count}" for role, count in WANTED.items())
    place = "row_number() OVER (PARTITION BY class, role ORDER BY priority)"
    return (
        f"SELECT id, filled FROM (SELECT id, priority, ({place} - 0.5) / CASE role {wanted} END "
        f"AS filled FROM samples) WHERE filled < 1 ORDER BY filled, priority LIMIT {most}"
    )
