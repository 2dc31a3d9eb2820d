//! From rows to columns, in one transaction: at any moment a tick is in exactly one of the two forms.

use rusqlite::{Connection, params};

use super::super::error::{Context, StoreError};
use super::disk::Disk;
use super::row::Row;
use super::segment::{self, Sealed};

/// Bytes of columns in one row of `page`: with its cell's head it fills whole pages of the file. A large page is filled by one
/// row. With small ones a row is an overflow chain of three full pages and the least that SQLite leaves in the tree, so that
/// the tree's own pages are few.
pub(super) const fn page_data_bytes(page_size: u64) -> usize {
    match page_size {
        1_024 => 3_159,
        other => other.saturating_sub(40) as usize,
    }
}

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
    let mut row: Option<Row> = None;
    while let Some(found) = rows.next().during(what, disk)? {
        if !found.get::<_, bool>(3).during(what, disk)? {
            break;
        }
        let seq: i64 = found.get(0).during(what, disk)?;
        let at: i64 = found.get(1).during(what, disk)?;
        let data = found.get_ref(2).and_then(|v| Ok(v.as_blob()?)).during(what, disk)?;
        Row::follow(&mut row, data).ok_or_else(|| damaged("samples", disk, seq))?;
        if let Some(row) = &row {
            visit(seq, at, row);
        }
    }
    Ok(())
}

/// Damage that SQLite itself cannot see.
pub(super) fn damaged(what: &'static str, path: &std::path::Path, number: i64) -> StoreError {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    let source = rusqlite::Error::SqliteFailure(code, Some(format!("{what} {number} do not decode")));
    StoreError::Corrupt { what: "decode stored samples", path: path.to_owned(), source }
}

/// A stretch to be written.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) tier: u8,
    pub(super) merged: bool,
    pub(super) first_seq: i64,
    pub(super) last_seq: i64,
    /// Of a coarser tier: the starts of its steps.
    pub(super) times: Vec<i64>,
}

/// The compressor refused, which valid input never makes it do.
pub(super) fn refused(path: &std::path::Path) -> StoreError {
    StoreError::Encoding { what: "samples", path: path.to_owned(), why: "the compressor refused them".to_owned() }
}

impl Disk {
    /// Seals every row of `newest`. Gives the number of ticks sealed.
    pub(super) fn seal(&mut self) -> Result<usize, StoreError> {
        let what = "seal samples";
        let path = self.path.clone();
        let transaction = self.db.transaction().during(what, &path)?;
        let mut ticks: Vec<Tick> = Vec::new();
        newest(&transaction, &path, |seq, at, row| ticks.push(Tick { seq, at, row: row.clone() }))?;
        let Some(last) = ticks.last().map(|t| t.seq) else { return Ok(0) };
        let count = ticks.len();
        // A segment's ticks are numbered without a gap; normally there is none.
        for ticks in ticks.chunk_by(|a, b| a.seq + 1 == b.seq) {
            let (Some(first), Some(last)) = (ticks.first(), ticks.last()) else { continue };
            let times = ticks.iter().map(|t| t.at).collect();
            let stretch = Stretch { tier: 0, merged: false, first_seq: first.seq, last_seq: last.seq, times };
            let sealed = segment::seal(&stretch.times, ticks.iter().map(|t| &t.row)).ok_or_else(|| refused(&path))?;
            write_segment(&transaction, &stretch, &sealed, self.page_bytes).during(what, &path)?;
            let mut seen = transaction.prepare("UPDATE series SET last_at = ? WHERE id = ?").during(what, &path)?;
            for place in segment::directory(&sealed.directory).unwrap_or_default() {
                seen.execute(params![last.at, place.series]).during(what, &path)?;
            }
        }
        transaction.execute("UPDATE sealed_until SET seq = ?", [last]).during(what, &path)?;
        transaction.commit().during(what, &path)?;
        Ok(count)
    }
}

pub(super) fn write_segment(
    db: &Connection,
    stretch: &Stretch,
    sealed: &Sealed,
    page_bytes: usize,
) -> rusqlite::Result<()> {
    let times = || stretch.times.iter().copied();
    db.execute(
        "INSERT INTO segment
           (first_seq, last_seq, first_at, last_at, ticks, samples, timeline, directory, tier, page_bytes, merged)
         VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        params![
            stretch.first_seq,
            stretch.last_seq,
            times().min().unwrap_or(0),
            times().max().unwrap_or(0),
            stretch.times.len() as i64,
            sealed.samples as i64,
            sealed.timeline,
            sealed.directory,
            stretch.tier,
            page_bytes as i64,
            stretch.merged
        ],
    )?;
    let id = db.last_insert_rowid();
    let mut page = db.prepare("INSERT INTO page (id, data) VALUES (?, ?)")?;
    for (index, data) in sealed.columns.chunks(page_bytes).enumerate() {
        page.execute(params![(id << 20) + index as i64, data])?;
    }
    Ok(())
}
