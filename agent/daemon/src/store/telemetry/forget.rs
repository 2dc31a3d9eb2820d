//! Names of series have an end: those that nothing belongs to any more go, and when numbers run short those that are silent.
//!
//! What comes and goes, such as containers of a minute, must not use up the numbers of what is there. The samples of a series that was
//! forgotten are nobody's; they go with their stretch. The highest number stays, so that none is given twice.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_core::model::Timestamp;
use rusqlite::params;

use super::super::error::{Context, StoreError};
use super::disk::Disk;
use super::seal;

const WHAT: &str = "forget series";
/// A series without a sample for so long may be forgotten when numbers run short.
const SILENT: Duration = Duration::from_hours(1);

/// From so many series on, numbers run short: below what is kept free for the host's own.
fn enough(series_max: usize) -> usize {
    series_max / 8 * 5
}

impl Disk {
    /// Forgets series, those first that are silent longest; `now`: of the newest tick, `None` at the start. Gives their numbers.
    pub(super) fn forget_series(&self, series_max: usize, now: Option<Timestamp>) -> Result<Vec<u32>, StoreError> {
        let path = &self.path;
        let one = |sql: &str| self.db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).during(WHAT, path);
        let known = one("SELECT count(*) FROM series")?.unwrap_or(0);
        let excess = (known - enough(series_max) as i64).max(0);
        let mut used = BTreeSet::new();
        seal::newest(&self.db, path, |_, _, row| used.extend(row.ids.iter().copied()))?;
        let now = match now {
            Some(now) => now.ns(),
            None => one("SELECT max(last_at) FROM series")?.unwrap_or(i64::MIN),
        };
        let silent = now.saturating_sub(i64::try_from(SILENT.as_nanos()).unwrap_or(i64::MAX));
        let sql = "SELECT id FROM series WHERE last_at < (SELECT min(first_at) FROM segment)
            UNION SELECT id FROM (SELECT id FROM series WHERE id < (SELECT max(id) FROM series)
              AND last_at < max(?2, (SELECT coalesce(min(first_at), ?2) FROM segment WHERE tier = 0)) ORDER BY last_at LIMIT ?1)";
        let mut statement = self.db.prepare(sql).during(WHAT, path)?;
        let rows = statement.query_map([excess, silent], |row| row.get(0)).during(WHAT, path)?;
        let gone: Vec<u32> = rows.collect::<rusqlite::Result<_>>().during(WHAT, path)?;
        let gone: Vec<u32> = gone.into_iter().filter(|id| !used.contains(id)).collect();
        if gone.is_empty() {
            return Ok(gone);
        }
        // A purged series' name must not stay in a free page.
        self.db.pragma_update(None, "secure_delete", "ON").during(WHAT, path)?;
        let deleted = self.delete_series(&gone);
        self.db.pragma_update(None, "secure_delete", "FAST").during(WHAT, path)?;
        deleted.map(|()| gone)
    }

    fn delete_series(&self, gone: &[u32]) -> Result<(), StoreError> {
        let path = &self.path;
        let transaction = self.db.unchecked_transaction().during(WHAT, path)?;
        for id in gone {
            transaction.execute("DELETE FROM series WHERE id = ?", params![id]).during(WHAT, path)?;
            transaction.execute("DELETE FROM counter_reset WHERE series = ?", params![id]).during(WHAT, path)?;
        }
        transaction.commit().during(WHAT, path)
    }
}
