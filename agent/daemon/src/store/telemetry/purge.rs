//! Forgetting by subject, for good: the samples of some series and the changes about something.
//!
//! Each sealed stretch is written again without their columns, a transaction each, while deleted pages are overwritten and the
//! log is copied back: what was deleted is in neither file. The numbering of ticks stays, so exporters go on where they were.

use std::collections::BTreeSet;

use holdfast_core::model::{Change, has_all};
use rusqlite::params;

use super::super::error::{Context, StoreError};
use super::Subject;
use super::disk::{Disk, delete_segment};
use super::seal::{self, Stretch};
use super::segment::{Builder, Effort};
use super::stored::Segments;
use super::tiers::{PARTS, SAMPLES};

const WHAT: &str = "purge";

/// What to forget. Something has to be named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeFilter {
    /// Series and changes that have each of these attributes with this value, or with the digest that stands for it in the store.
    pub where_: Vec<(String, String)>,
    /// Changes about this target, as printed: `file:/home/alice/x`.
    pub target: Option<String>,
}

impl PurgeFilter {
    /// Whether a change is to be forgotten; what changes say is stored as it was said.
    pub fn is_about(&self, change: &Change) -> bool {
        let wanted = || self.where_.iter().map(|(name, value)| (name, value));
        self.target.as_ref().is_some_and(|target| change.target.to_string() == *target)
            || (!self.where_.is_empty() && has_all(&change.attributes, wanted()))
    }
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// Series that had data; their names go with the next start of the agent, unless they are measured again.
    pub series: u64,
    /// Samples of the finest tier.
    pub samples: u64,
    /// Changes.
    pub changes: u64,
}

impl Disk {
    /// Everything has to be sealed before.
    pub(super) fn purge(
        &mut self,
        series: &BTreeSet<u32>,
        target: Option<&str>,
        subject: &Subject,
    ) -> Result<Purged, StoreError> {
        let path = self.path.clone();
        self.db.pragma_update(None, "secure_delete", "ON").during(WHAT, &path)?;
        let purged = self.purge_rows(series, target, subject);
        let copied = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).during(WHAT, &path);
        self.db.pragma_update(None, "secure_delete", "FAST").during(WHAT, &path)?;
        copied.and(purged)
    }

    fn purge_rows(
        &mut self,
        series: &BTreeSet<u32>,
        target: Option<&str>,
        subject: &Subject,
    ) -> Result<Purged, StoreError> {
        let path = self.path.clone();
        let (mut purged, mut had) = (Purged::default(), BTreeSet::new());
        let mut ids: Vec<(i64, bool)> = Vec::new();
        if !series.is_empty() {
            let mut statement = self.db.prepare("SELECT id, merged FROM segment").during(WHAT, &path)?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).during(WHAT, &path)?;
            ids = rows.collect::<rusqlite::Result<_>>().during(WHAT, &path)?;
        }
        for (id, merged) in ids {
            purged.samples += self.without(id, merged, series, &mut had)?;
        }
        purged.series = had.len() as u64;
        let transaction = self.db.transaction().during(WHAT, &path)?;
        // Former rows of what is sealed hold the samples once more.
        transaction.execute("DELETE FROM newest", []).during(WHAT, &path)?;
        for id in series {
            transaction
                .execute("UPDATE series SET last_at = ? WHERE id = ?", params![i64::MIN, id])
                .during(WHAT, &path)?;
            transaction.execute("DELETE FROM counter_reset WHERE series = ?", [id]).during(WHAT, &path)?;
        }
        if let Some(target) = target {
            let gone = transaction.execute("DELETE FROM change WHERE target = ?", [target]).during(WHAT, &path)?;
            purged.changes += gone as u64;
        }
        if !subject.is_empty() {
            let one = "json_extract(body, '$.attributes.\"' || ? || '\"') IN (?, ?)";
            let all = vec![one; subject.forms().len()].join(" AND ");
            let values = subject.forms().iter().flat_map(|(name, [plain, digest])| [name, plain, digest]);
            let gone = transaction
                .execute(&format!("DELETE FROM change WHERE {all}"), rusqlite::params_from_iter(values))
                .during(WHAT, &path)?;
            purged.changes += gone as u64;
        }
        transaction.commit().during(WHAT, &path)?;
        Ok(purged)
    }

    /// Writes a stretch again without some series, and notes which of them it had. Gives the number of samples that it has lost.
    fn without(
        &mut self,
        id: i64,
        merged: bool,
        series: &BTreeSet<u32>,
        had: &mut BTreeSet<u32>,
    ) -> Result<u64, StoreError> {
        let path = self.path.clone();
        let transaction = self.db.transaction().during(WHAT, &path)?;
        let mut segments = Segments::new(&transaction, &path)?;
        let whole = segments.whole(id)?;
        drop(segments);
        let (tier, first_seq, last_seq) = (whole.segment.tier, whole.segment.first_seq, whole.segment.last_seq);
        let of = |key: u32| if tier == SAMPLES { key } else { key / PARTS };
        if !whole.places.iter().any(|place| series.contains(&of(place.series))) {
            return Ok(0);
        }
        let mut builder = Builder::new(&whole.segment.times, Effort::Full).ok_or_else(|| seal::refused(&path))?;
        let mut lost = 0;
        for place in &whole.places {
            let column = whole.column(*place, &path)?;
            if !series.contains(&of(place.series)) {
                builder.push(place.series, &column).ok_or_else(|| seal::refused(&path))?;
                continue;
            }
            had.insert(of(place.series));
            if tier == SAMPLES {
                lost += column.points().count() as u64;
            }
        }
        delete_segment(&transaction, id).during(WHAT, &path)?;
        let stretch = Stretch { tier, merged, first_seq, last_seq, times: whole.segment.times };
        seal::write_segment(&transaction, &stretch, &builder.end(), self.page_bytes).during(WHAT, &path)?;
        transaction.commit().during(WHAT, &path)?;
        Ok(lost)
    }
}
