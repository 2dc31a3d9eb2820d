//! The tables of `state.db`, as numbered migrations. A migration that was released is never edited.

/// One entry a version, in order.
pub(super) const MIGRATIONS: &[&str] = &[V1, V2, V3, V4];

/// Documents are JSON; columns beside them exist to be searched. `revision` numbers every write of the database,
/// so that an exporter can continue where it stopped.
const V1: &str = "
CREATE TABLE counter (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT;
INSERT INTO counter (name, value) VALUES ('revision', 0);

CREATE TABLE finding (
  id TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, kind TEXT NOT NULL, open INTEGER NOT NULL,
  at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX finding_open ON finding (open, at);
CREATE INDEX finding_at ON finding (at);
CREATE INDEX finding_revision ON finding (revision);

CREATE TABLE incident (
  id TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, open INTEGER NOT NULL, at INTEGER NOT NULL,
  body TEXT NOT NULL) STRICT;
CREATE INDEX incident_open ON incident (open, at);
CREATE INDEX incident_at ON incident (at);

CREATE TABLE remediation (
  id TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, finding TEXT NOT NULL, rule TEXT NOT NULL,
  state TEXT NOT NULL, open INTEGER NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX remediation_open ON remediation (open, at);
CREATE INDEX remediation_at ON remediation (at);
CREATE INDEX remediation_finding ON remediation (finding, at);
CREATE INDEX remediation_revision ON remediation (revision);

CREATE TABLE decision (
  id TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, finding TEXT NOT NULL, at INTEGER NOT NULL,
  body TEXT NOT NULL) STRICT;
CREATE INDEX decision_finding ON decision (finding, at);
CREATE INDEX decision_at ON decision (at);
CREATE INDEX decision_revision ON decision (revision);

CREATE TABLE deployment (
  id TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, service TEXT NOT NULL, open INTEGER NOT NULL,
  at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX deployment_at ON deployment (at);
CREATE INDEX deployment_service ON deployment (service, at);

CREATE TABLE baseline (path TEXT PRIMARY KEY NOT NULL, revision INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE setting (key TEXT PRIMARY KEY NOT NULL, body TEXT NOT NULL) STRICT;
CREATE TABLE plugin_state (
  plugin TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (plugin, key)) STRICT, WITHOUT ROWID;

CREATE TABLE step_run (
  number INTEGER PRIMARY KEY, step TEXT NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX step_run_step ON step_run (step, at);

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, actor TEXT NOT NULL, subject TEXT NOT NULL,
  body TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL, mac TEXT NOT NULL) STRICT;
CREATE INDEX audit_subject ON audit (subject, seq);
CREATE TRIGGER audit_is_never_updated BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit chain is append-only'); END;
";

/// Labels outlive the findings that they were given to. Suppressed findings are looked for at the start.
const V2: &str = "
CREATE TABLE label (finding TEXT PRIMARY KEY NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX finding_suppressed ON finding (at) WHERE json_extract(body, '$.state') = 'suppressed';
";

/// Samples of labelled findings, which outlive the samples' own retention. `incident`: labelled a true positive.
const V3: &str = "
CREATE TABLE episode (
  finding TEXT PRIMARY KEY NOT NULL, at INTEGER NOT NULL, incident INTEGER NOT NULL, bytes INTEGER NOT NULL,
  head TEXT NOT NULL, body BLOB NOT NULL) STRICT;
";

/// What was accepted, as differences, from this version of the database on.
const V4: &str = "
CREATE TABLE baseline_version (
  number INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL, entries TEXT NOT NULL) STRICT;
";
