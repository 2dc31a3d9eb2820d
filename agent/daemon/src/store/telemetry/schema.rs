//! The tables of `telemetry.db`, as numbered migrations. A migration that was released is never edited.

/// One entry a version, in order.
pub(super) const MIGRATIONS: &[&str] = &[V1, V2];

/// What must be set before the first page: so that the file can shrink, and so that a tick costs a small page of the log and
/// not a large one. A file that exists keeps the pages it has.
pub(super) const BEFORE: &str =
    "PRAGMA page_size = 1024; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_size_limit = 2097152";

/// `newest`: one row a tick, numbered without a gap. Slots are used again after sealing, in place: a tick then costs one
/// page of the log, where deleting and inserting would shuffle free pages. Rows up to `sealed_until` do not count any more. `segment` and `page`: sealed ticks by series, compressed; a segment's
/// columns lie one after the other in its pages, each of which fills one page of the file.
const V1: &str = "
CREATE TABLE series (
  id INTEGER PRIMARY KEY, metric TEXT NOT NULL, unit TEXT NOT NULL, kind TEXT NOT NULL, attributes TEXT NOT NULL,
  first_at INTEGER NOT NULL, last_at INTEGER NOT NULL) STRICT;
CREATE TABLE counter_reset (series INTEGER NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (series, at)) STRICT, WITHOUT ROWID;

CREATE TABLE newest (
  slot INTEGER PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL, data BLOB NOT NULL) STRICT;
CREATE TABLE sealed_until (seq INTEGER NOT NULL) STRICT;
INSERT INTO sealed_until (seq) VALUES (0);
CREATE TABLE segment (
  id INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, first_at INTEGER NOT NULL,
  last_at INTEGER NOT NULL, ticks INTEGER NOT NULL, samples INTEGER NOT NULL, timeline BLOB NOT NULL,
  directory BLOB NOT NULL) STRICT;
CREATE INDEX segment_at ON segment (last_at, first_at);
CREATE INDEX segment_seq ON segment (last_seq);
CREATE TABLE page (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT;

CREATE TABLE change (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at INTEGER NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL,
  deployment TEXT, body TEXT NOT NULL) STRICT;
CREATE INDEX change_at ON change (at);
CREATE INDEX change_kind ON change (kind, at);

CREATE TABLE export_cursor (
  destination TEXT NOT NULL, stream TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (destination, stream))
  STRICT, WITHOUT ROWID;
CREATE TABLE gap (
  number INTEGER PRIMARY KEY, at INTEGER NOT NULL, stream TEXT NOT NULL, count INTEGER NOT NULL, reason TEXT NOT NULL)
  STRICT;
CREATE INDEX gap_at ON gap (at);
";

/// Segments of coarser tiers (1: minutes, 2: hours) beside those of samples (0); how many bytes of columns a row of `page`
/// holds; and whether a segment was merged with its neighbours already, as all of the first version count.
const V2: &str = "
ALTER TABLE segment ADD COLUMN tier INTEGER NOT NULL DEFAULT 0;
ALTER TABLE segment ADD COLUMN page_bytes INTEGER NOT NULL DEFAULT 4056;
ALTER TABLE segment ADD COLUMN merged INTEGER NOT NULL DEFAULT 1;
DROP INDEX segment_at;
DROP INDEX segment_seq;
CREATE INDEX segment_at ON segment (tier, last_at, first_at);
CREATE INDEX segment_seq ON segment (tier, last_seq);
CREATE INDEX segment_loose ON segment (first_seq) WHERE merged = 0;
";
