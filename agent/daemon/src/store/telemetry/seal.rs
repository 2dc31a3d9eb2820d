//! From rows to columns, in one transaction: at any moment a tick is in exactly one of the two forms.

use rusqlite::{Connection, Transaction, params};

use super::super::error::{Context, StoreError};
use super::disk::Disk;
use super::row::Row;
use super::segment;

/// Bytes of columns in one row of `page`: with its cell's head it fills one page of the file, without overflow.
pub(super) const PAGE_DATA_BYTES: usize = 4_056;
/// Ticks that one segment may hold; the next tick after a seal is a key row, so only whole stretches are sealed.
pub(super) const TICKS_MAX: u32 = 32_768;

/// One row of `newest`, decoded.
#[derive(Debug, Clone)]
pub(super) struct Tick {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) row: Row,
}

/// Decodes `newest` in order, handing each tick to `visit`. A row that does not decode is damage.
pub(super) fn newest(
    db: &Connection,
    disk: &std::path::Path,
    mut visit: impl FnMut(i64, i64, &Row),
) -> Result<(), StoreError> {
    let what = "read the newest samples";
    // Live rows are the first slots; behind the first one that is sealed lie only former rows.
    let sql = "SELECT seq, at, data, seq > (SELECT seq FROM sealed_until) FROM newest ORDER BY slot";
    let mut statement = db.prepare(sql).during(what, disk)?;
    let mut rows = statement.query([]).during(what, disk)?;
    let mut before: Option<Row> = None;
    while let Some(found) = rows.next().during(what, disk)? {
        if !found.get::<_, bool>(3).during(what, disk)? {
            break;
        }
        let seq: i64 = found.get(0).during(what, disk)?;
        let at: i64 = found.get(1).during(what, disk)?;
        let data = found.get_ref(2).and_then(|v| Ok(v.as_blob()?)).during(what, disk)?;
        let row = Row::decode(before.as_ref(), data).ok_or_else(|| damaged("samples", disk, seq))?;
        visit(seq, at, &row);
        before = Some(row);
    }
    Ok(())
}

/// Damage that SQLite itself cannot see.
pub(super) fn damaged(what: &'static str, path: &std::path::Path, number: i64) -> StoreError {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let source = rusqlite::Error::SqliteFailure(code, Some(format!("{what} {number} do not decode")));
    StoreError::Corrupt { what: "decode stored samples", path: path.to_owned(), source }
}

impl Disk {
    /// Seals every row of `newest`. Gives the number of ticks sealed.
    pub(super) fn seal(&mut self) -> Result<usize, StoreError> {
        let path = self.path.clone();
        let transaction = self.db.transaction().during("seal samples", &path)?;
        let mut ticks: Vec<Tick> = Vec::new();
        newest(&transaction, &path, |seq, at, row| ticks.push(Tick { seq, at, row: row.clone() }))?;
        let Some(last) = ticks.last().map(|t| t.seq) else { return Ok(0) };
        // A segment's ticks are numbered without a gap; normally there is none.
        for stretch in ticks.chunk_by(|a, b| a.seq + 1 == b.seq) {
            write_segment(&transaction, &path, stretch)?;
        }
        transaction.execute("UPDATE sealed_until SET seq = ?", [last]).during("seal samples", &path)?;
        transaction.commit().during("seal samples", &path)?;
        Ok(ticks.len())
    }
}

fn write_segment(db: &Transaction<'_>, path: &std::path::Path, stretch: &[Tick]) -> Result<(), StoreError> {
    let (Some(Tick { seq: first_seq, .. }), Some(Tick { seq: last_seq, .. })) = (stretch.first(), stretch.last())
    else {
        return Ok(());
    };
    let ticks: Vec<(i64, Row)> = stretch.iter().map(|t| (t.at, t.row.clone())).collect();
    let sealed = segment::seal(&ticks).ok_or_else(|| StoreError::Encoding {
        what: "samples",
        path: path.to_owned(),
        why: "the compressor refused them".to_owned(),
    })?;
    let times = || ticks.iter().map(|(at, _)| *at);
    let (first_at, last_at) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let write = || -> rusqlite::Result<()> {
        db.execute(
            "INSERT INTO segment (first_seq, last_seq, first_at, last_at, ticks, samples, timeline, directory)
             VALUES (?,?,?,?,?,?,?,?)",
            params![
                first_seq,
                last_seq,
                first_at,
                last_at,
                ticks.len() as i64,
                sealed.samples as i64,
                sealed.timeline,
                sealed.directory
            ],
        )?;
        let id = db.last_insert_rowid();
        let mut page = db.prepare("INSERT INTO page (id, data) VALUES (?, ?)")?;
        for (index, data) in sealed.columns.chunks(PAGE_DATA_BYTES).enumerate() {
            page.execute(params![(id << 20) + index as i64, data])?;
        }
        let mut seen = db.prepare("UPDATE series SET last_at = ? WHERE id = ?")?;
        for place in segment::directory(&sealed.directory).unwrap_or_default() {
            seen.execute(params![last_at, place.series])?;
        }
        Ok(())
    };
    write().during("seal samples", path)
}
