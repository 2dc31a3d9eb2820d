//! Where exporters stand, kept through damage of the file.
//!
//! Positions of samples are numbers of ticks in this database; those of findings, decisions and the like are numbers of `state.db`,
//! which is whole: starting them over would send everything twice. They are read from what was set aside as far as that can be
//! read. Where it cannot, the new file has a mark, and whoever has no position begins at the end.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::super::error::{Context, StoreError};
use super::Record;
use super::reader::TelemetryReader;

/// The row that stands for positions that are lost; no destination has this name.
const LOST: (&str, &str) = ("", "lost");

/// By destination and stream.
#[derive(Debug, Default)]
pub(super) struct Cursors(BTreeMap<(String, String), u64>);

impl Cursors {
    pub(super) fn read(db: &Connection, path: &Path) -> Result<Self, StoreError> {
        let what = "read the export cursors";
        let mut statement = db.prepare("SELECT destination, stream, position FROM export_cursor").during(what, path)?;
        let rows = statement
            .query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?.unsigned_abs())))
            .during(what, path)?;
        Ok(Self(rows.collect::<rusqlite::Result<_>>().during(what, path)?))
    }

    /// Those of a file that was set aside; the mark where it cannot be read.
    pub(super) fn saved_from(aside: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let read =
            Connection::open_with_flags(aside, flags).during("open", aside).and_then(|db| Self::read(&db, aside));
        read.unwrap_or_else(|_| Self(BTreeMap::from([((LOST.0.to_owned(), LOST.1.to_owned()), 1)])))
    }

    pub(super) fn write(&self, db: &Connection, path: &Path) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO export_cursor (destination, stream, position) VALUES (?,?,?)";
        for ((destination, stream), position) in &self.0 {
            db.execute(sql, params![destination, stream, *position as i64]).during("write an export cursor", path)?;
        }
        Ok(())
    }

    pub(super) fn keep(&mut self, destination: &str, stream: &str, position: u64) {
        self.0.insert((destination.to_owned(), stream.to_owned()), position);
    }

    /// As the writer is asked for them.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.0.iter().map(|((destination, stream), position)| Record::Cursor {
            destination: destination.clone(),
            stream: stream.clone(),
            position: *position,
        })
    }
}

impl TelemetryReader {
    /// Whether positions of exporters were lost with a damaged database: who has none then does not begin at the beginning.
    pub fn export_cursors_lost(&self) -> Result<bool, StoreError> {
        let what = "read the export cursors";
        self.read(what, |db| {
            let sql = "SELECT 1 FROM export_cursor WHERE destination = ? AND stream = ?";
            let found: Option<i64> =
                db.query_row(sql, [LOST.0, LOST.1], |row| row.get(0)).optional().during(what, self.pool.path())?;
            Ok(found.is_some())
        })
    }
}
