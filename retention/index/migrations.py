"""The schema of ``index.db``, as numbered steps. Shell.

``PRAGMA user_version`` counts the steps taken. A step that was released is never changed; the
next one is added below it. Everything here can be rebuilt from the volumes: ``segment`` from the
files, the rest by applying the journal's entries in order (``retention.index.entries``), but for
what ``meta`` says of a living ``edge`` (alive_us, alive_epoch, trust).

Instants are integer microseconds since 1970-01-01T00:00:00Z; spans are half open.
"""

from __future__ import annotations

# ruff: noqa: S608 - statements are put together from constants of this module only
import logging
import sqlite3
from contextlib import closing
from enum import StrEnum

from retention.index.entries import add_entries
from retention.index.errors import IndexCorrupt, IndexUnavailable
from retention.journal import JournalDamaged, parse_line
from retention.model import ClockState, EndReason, GapCause, MarkerKind, SegmentState

log = logging.getLogger(__name__)

#: "XLEI"; SQLite keeps it in the file's header.
APPLICATION_ID = 0x584C4549


def _words(kind: type[StrEnum]) -> str:
    return ", ".join(f"'{word.value}'" for word in kind)


_FIRST = f"""
-- The cameras that footage is due of.
CREATE TABLE camera (
  id TEXT PRIMARY KEY,
  commissioned_us INTEGER NOT NULL,  -- footage is due from here on
  removed_us INTEGER                 -- and to here; NULL while in service
) STRICT, WITHOUT ROWID;

-- The volumes ever attached.
CREATE TABLE volume (
  uuid TEXT PRIMARY KEY,             -- of the stamp
  path TEXT NOT NULL,                -- where it was mounted last
  attached_us INTEGER NOT NULL       -- when it first was there
) STRICT, WITHOUT ROWID;

-- A run: segments of one camera session on one clock.
CREATE TABLE run (
  run TEXT PRIMARY KEY,              -- 32 hex digits
  camera TEXT NOT NULL,
  start_us INTEGER NOT NULL,
  clock TEXT NOT NULL CHECK (clock IN ('synchronized', 'unsynchronized')),
  format TEXT NOT NULL               -- JSON, retention.index.formats
) STRICT, WITHOUT ROWID;
CREATE INDEX run_of_camera ON run (camera, start_us);

-- One file each. Its path follows from camera, start_us and number (retention.layout).
CREATE TABLE segment (
  camera TEXT NOT NULL,
  number INTEGER NOT NULL CHECK (number >= 0),  -- rises by one, for ever
  run TEXT NOT NULL,
  volume TEXT NOT NULL,              -- volume.uuid
  start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL,           -- of the newest durable fragment while open
  state TEXT NOT NULL CHECK (state IN ({_words(SegmentState)})),
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),  -- durable ones while open
  end_reason TEXT CHECK (end_reason IN ({_words(EndReason)})),  -- NULL while open
  digest BLOB NOT NULL CHECK (length(digest) IN (0, 32)),  -- empty while open
  fragments BLOB NOT NULL,           -- retention.fragments; of the durable ones
  PRIMARY KEY (camera, number),
  CHECK ((state = 'open') = (end_reason IS NULL)),
  CHECK (end_us >= start_us)
) STRICT;
-- Covers the time line: the fragments' blobs are not touched for it.
CREATE INDEX segment_time ON segment (camera, start_us, number, end_us);
-- What start-up has to look at, in a table of millions.
CREATE INDEX segment_unfinished ON segment (camera, number)
  WHERE state = 'open' OR end_reason = 'io_error';

-- A due but absent span of a second or more.
CREATE TABLE gap (
  camera TEXT NOT NULL,
  start_us INTEGER NOT NULL,
  end_us INTEGER CHECK (end_us > start_us),  -- NULL while it lasts
  cause TEXT NOT NULL CHECK (cause IN ({_words(GapCause)})),
  detail TEXT NOT NULL,              -- for people; may be empty
  PRIMARY KEY (camera, start_us)
) STRICT, WITHOUT ROWID;
CREATE INDEX gap_open ON gap (camera) WHERE end_us IS NULL;

-- The journal's full copy; each volume carries a replica.
CREATE TABLE journal (
  seq INTEGER PRIMARY KEY,           -- from 1, without a hole
  line TEXT NOT NULL                 -- as on the volume, without the line feed
) STRICT;

-- Single facts: service (the last start or stop, JSON), alive_us, alive_epoch, trust.
CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

_KEEPING = """
-- Legal holds: while one stands, no policy deletes what it touches.
CREATE TABLE hold (
  id TEXT PRIMARY KEY,
  camera TEXT NOT NULL,              -- empty: every camera
  from_us INTEGER NOT NULL,
  to_us INTEGER NOT NULL CHECK (to_us > from_us),
  case_number TEXT NOT NULL,
  requester TEXT NOT NULL,
  unit TEXT NOT NULL,
  reason TEXT NOT NULL,
  expires_us INTEGER,                -- NULL: until it is released
  added_us INTEGER NOT NULL,
  added_by TEXT NOT NULL,
  asked_us INTEGER,                  -- a first person asked for its release
  asked_by TEXT,
  released_us INTEGER,
  released_by TEXT
) STRICT, WITHOUT ROWID;

-- Which segments are chained, in chain order (retention.chain).
CREATE TABLE checkpoint (
  camera TEXT NOT NULL,
  position INTEGER NOT NULL,         -- of its first segment in the camera's chain, from 0
  seq INTEGER NOT NULL,              -- of its journal entry
  at_us INTEGER NOT NULL,
  numbers TEXT NOT NULL,             -- JSON: rising ranges, both ends included
  last_number INTEGER NOT NULL,
  segments INTEGER NOT NULL,
  before BLOB NOT NULL CHECK (length(before) = 32),
  after BLOB NOT NULL CHECK (length(after) = 32),
  PRIMARY KEY (camera, position)
) STRICT, WITHOUT ROWID;

-- What policy took away, as the journal tells it.
CREATE TABLE tombstone (
  seq INTEGER PRIMARY KEY,           -- of its journal entry
  camera TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  reason TEXT NOT NULL,
  start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL,
  segments INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  pieces TEXT NOT NULL               -- JSON: [[numbers, link before, link after], ...]
) STRICT;
CREATE INDEX tombstone_of_camera ON tombstone (camera, start_us);

-- Segments marked for deletion; what has a tombstone goes, what has none stays.
CREATE TABLE doomed (
  camera TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (camera, number)
) STRICT, WITHOUT ROWID;
"""

# Every instant belongs to a stretch of host time, so that it can be re-timed with it.
_EPOCHS = f"""
-- Stretches of host time without a step, under one judgement. Epoch 0 is true time, without a row.
CREATE TABLE epoch (
  id INTEGER PRIMARY KEY,
  boot TEXT NOT NULL,                -- boot id
  skew_us INTEGER NOT NULL,          -- UTC minus CLOCK_MONOTONIC
  start_us INTEGER NOT NULL,         -- on the clock as it went then
  cause TEXT NOT NULL CHECK (cause IN ({_words(GapCause)})),  -- of what is missing before it
  end_us INTEGER,                    -- NULL while it lasts
  offset_us INTEGER,                 -- to add to its instants; NULL while nobody knows
  is_estimated INTEGER NOT NULL CHECK (is_estimated IN (0, 1))
) STRICT;
CREATE INDEX epoch_untimed ON epoch (id) WHERE offset_us IS NULL;

-- offset_us NULL: in an untrusted time and not re-timed: its footage is never due.
CREATE TABLE run_ (
  run TEXT PRIMARY KEY,              -- 32 hex digits
  camera TEXT NOT NULL,
  start_us INTEGER NOT NULL,         -- as its files say, without offset_us
  clock TEXT NOT NULL CHECK (clock IN ({_words(ClockState)})),
  format TEXT NOT NULL,              -- JSON, retention.index.formats
  epoch INTEGER,                     -- NULL where only its files tell of it
  offset_us INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO run_ SELECT run, camera, start_us,
  CASE clock WHEN 'synchronized' THEN 'trusted' ELSE 'untrusted' END, format, NULL,
  CASE clock WHEN 'synchronized' THEN 0 END FROM run;
DROP TABLE run;
ALTER TABLE run_ RENAME TO run;
CREATE INDEX run_of_camera ON run (camera, start_us);
CREATE INDEX run_untimed ON run (run) WHERE offset_us IS NULL;

-- Contained in start_us and end_us, not in the fragments nor in the file's name.
ALTER TABLE segment ADD COLUMN offset_us INTEGER NOT NULL DEFAULT 0;
CREATE INDEX segment_retimed ON segment (camera, start_us - offset_us) WHERE offset_us <> 0;

-- Two epochs may have begun at the same instant of their clocks.
CREATE TABLE gap_ (
  camera TEXT NOT NULL,
  start_us INTEGER NOT NULL,
  end_us INTEGER CHECK (end_us > start_us),  -- NULL while it lasts
  cause TEXT NOT NULL CHECK (cause IN ({_words(GapCause)})),
  detail TEXT NOT NULL,              -- for people; may be empty
  start_epoch INTEGER NOT NULL DEFAULT 0,
  end_epoch INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (camera, start_us, start_epoch)
) STRICT, WITHOUT ROWID;
INSERT INTO gap_ SELECT camera, start_us, end_us, cause, detail, 0, 0 FROM gap;
DROP TABLE gap;
ALTER TABLE gap_ RENAME TO gap;
CREATE INDEX gap_open ON gap (camera) WHERE end_us IS NULL;

ALTER TABLE camera ADD COLUMN commissioned_epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE camera ADD COLUMN removed_epoch INTEGER NOT NULL DEFAULT 0;
"""

# Sums that would take a minute to add up from two million rows.
_SUMS = """
-- Sealed footage of each hour, by where segments begin; kept by the triggers below.
CREATE TABLE stored (
  camera TEXT NOT NULL,
  hour INTEGER NOT NULL,             -- since 1970
  volume TEXT NOT NULL,              -- volume.uuid
  size_bytes INTEGER NOT NULL,
  covered_us INTEGER NOT NULL,
  segments INTEGER NOT NULL,
  PRIMARY KEY (camera, hour, volume)
) STRICT, WITHOUT ROWID;
INSERT INTO stored
  SELECT camera, start_us / 3600000000, volume, sum(size_bytes), sum(end_us - start_us), count(*)
  FROM segment WHERE state = 'sealed' GROUP BY 2, 1, 3;  -- hours first: numbers sort quicker

CREATE TRIGGER segment_comes AFTER INSERT ON segment WHEN new.state = 'sealed' BEGIN
  INSERT INTO stored VALUES (new.camera, new.start_us / 3600000000, new.volume, new.size_bytes,
    new.end_us - new.start_us, 1)
  ON CONFLICT (camera, hour, volume) DO UPDATE SET size_bytes = size_bytes + excluded.size_bytes,
    covered_us = covered_us + excluded.covered_us, segments = segments + 1;
END;
CREATE TRIGGER segment_goes AFTER DELETE ON segment WHEN old.state = 'sealed' BEGIN
  UPDATE stored SET size_bytes = size_bytes - old.size_bytes,
    covered_us = covered_us - (old.end_us - old.start_us), segments = segments - 1
  WHERE camera = old.camera AND hour = old.start_us / 3600000000 AND volume = old.volume;
  DELETE FROM stored WHERE camera = old.camera AND hour = old.start_us / 3600000000
    AND volume = old.volume AND segments = 0;
END;
CREATE TRIGGER segment_was AFTER UPDATE ON segment WHEN old.state = 'sealed' BEGIN
  UPDATE stored SET size_bytes = size_bytes - old.size_bytes,
    covered_us = covered_us - (old.end_us - old.start_us), segments = segments - 1
  WHERE camera = old.camera AND hour = old.start_us / 3600000000 AND volume = old.volume;
  DELETE FROM stored WHERE camera = old.camera AND hour = old.start_us / 3600000000
    AND volume = old.volume AND segments = 0;
END;
CREATE TRIGGER segment_is AFTER UPDATE ON segment WHEN new.state = 'sealed' BEGIN
  INSERT INTO stored VALUES (new.camera, new.start_us / 3600000000, new.volume, new.size_bytes,
    new.end_us - new.start_us, 1)
  ON CONFLICT (camera, hour, volume) DO UPDATE SET size_bytes = size_bytes + excluded.size_bytes,
    covered_us = covered_us + excluded.covered_us, segments = segments + 1;
END;
"""

_ABSENCES = f"""
-- A camera was out of service from one stretch of host time into another: how long is known only
-- when both are, and may come out otherwise when one is re-timed again.
CREATE TABLE absence (
  camera TEXT NOT NULL,
  start_us INTEGER NOT NULL,
  start_epoch INTEGER NOT NULL,
  end_us INTEGER NOT NULL,           -- before start_us on a clock that was set back
  end_epoch INTEGER NOT NULL,
  PRIMARY KEY (camera, start_us, start_epoch, end_us, end_epoch)
) STRICT, WITHOUT ROWID;

-- Two gaps may begin at the same instant, of different causes.
CREATE TABLE gap_ (
  camera TEXT NOT NULL,
  start_us INTEGER NOT NULL,
  end_us INTEGER CHECK (end_us > start_us),  -- NULL while it lasts
  cause TEXT NOT NULL CHECK (cause IN ({_words(GapCause)})),
  detail TEXT NOT NULL,              -- for people; may be empty
  start_epoch INTEGER NOT NULL DEFAULT 0,
  end_epoch INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (camera, start_us, start_epoch, cause)
) STRICT, WITHOUT ROWID;
INSERT INTO gap_ SELECT * FROM gap;
DROP TABLE gap;
ALTER TABLE gap_ RENAME TO gap;
CREATE INDEX gap_open ON gap (camera) WHERE end_us IS NULL;
"""

_MARKERS = f"""
-- Instants of cameras' events: no identity; kept as long as the footage that they are in.
CREATE TABLE marker (
  camera TEXT NOT NULL,
  at_us INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ({_words(MarkerKind)})),
  epoch INTEGER NOT NULL,            -- of host time, in which it was told
  PRIMARY KEY (camera, at_us, kind, epoch)
) STRICT, WITHOUT ROWID;
"""

STEPS: tuple[str, ...] = (_FIRST, _KEEPING, _EPOCHS, _SUMS, _ABSENCES, _MARKERS)
#: The schema from which on a gap's cause is of its key.
_GAPS_BY_CAUSE = 5


def schema_version(connection: sqlite3.Connection) -> int:
    """Steps taken; 0 for an empty database.

    Raises:
        IndexCorrupt: another program's database.
        IndexUnavailable: a newer program's.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if version and application != APPLICATION_ID:
        raise IndexCorrupt("the file under the index's name is another program's database")
    if version > len(STEPS):
        raise IndexUnavailable(
            f"the index is of schema {version}, this program knows {len(STEPS)}",
            hint="install the newer release again, or run: xueliang reindex",
        )
    return version


def migrate(connection: sqlite3.Connection) -> None:
    """Take the missing steps, all or none. Raises as schema_version does."""
    version = schema_version(connection)
    if version == len(STEPS):
        return
    steps = "\n".join(STEPS[version:])
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{steps}")
        if 0 < version < _GAPS_BY_CAUSE:
            _put_gaps_back(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _put_gaps_back(connection: sqlite3.Connection) -> None:
    """Of two gaps that begin at once the table held one so far; the journal tells of both."""
    [(newest,)] = connection.execute("SELECT coalesce(max(seq), 0) FROM journal")
    lines = connection.execute("SELECT line FROM journal ORDER BY seq")
    with closing(sqlite3.connect("", isolation_level=None)) as rebuilt:
        migrate(rebuilt)
        try:
            applied = add_entries(rebuilt, (parse_line(line.encode()) for (line,) in lines))
        except JournalDamaged:
            applied = 0
        if applied != newest:  # xueliang reindex takes the replicas, and tells the differences
            log.warning("gaps_stay_as_they_were", extra={"seq": newest, "applied": applied})
            return
        connection.execute("DELETE FROM gap")
        gaps = rebuilt.execute("SELECT * FROM gap")
        connection.executemany("INSERT INTO gap VALUES (?, ?, ?, ?, ?, ?, ?)", gaps)
