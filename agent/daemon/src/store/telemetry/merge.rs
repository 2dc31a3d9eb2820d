//! Sealed stretches of some minutes become one of an hour: a series' values compress better, and are read faster, the more
//! of them lie together. One transaction; a stretch too large for its share of the log stays as it is.

use std::collections::BTreeMap;

use rusqlite::params;

use super::super::error::{Context, StoreError};
use super::disk::{Disk, delete_segment};
use super::seal::{self, Stretch};
use super::segment::{Builder, Column, Effort, Place};
use super::stored::{Segments, Whole};

const WHAT: &str = "merge sealed samples";

/// A stretch that may be merged.
#[derive(Debug, Clone, Copy)]
struct Loose {
    id: i64,
    first_seq: i64,
    last_seq: i64,
    bytes: u64,
}

impl Loose {
    fn ticks(&self) -> i64 {
        self.last_seq - self.first_seq + 1
    }
}

/// By series, where its columns lie: which of the segments, and where in it.
pub(super) fn by_series(of: &[Whole]) -> BTreeMap<u32, Vec<(usize, Place)>> {
    let mut found: BTreeMap<u32, Vec<(usize, Place)>> = BTreeMap::new();
    for (index, whole) in of.iter().enumerate() {
        for place in &whole.places {
            found.entry(place.series).or_default().push((index, *place));
        }
    }
    found
}

impl Disk {
    /// Merges what has gathered once it makes `ticks` together, or as much as one transaction may hold.
    pub(super) fn merge(&mut self, ticks: u32) -> Result<(), StoreError> {
        let path = self.path.clone();
        let loose = self.loose()?;
        // Numbered without a hole: what follows one waits for nothing any more.
        let run = loose.windows(2).take_while(|w| w[0].last_seq + 1 == w[1].first_seq).count() + 1;
        let (mut count, mut sum, mut bytes) = (0, 0, 0);
        for one in loose.iter().take(run) {
            if count > 0 && (bytes + one.bytes > self.merge_bytes_max || sum + one.ticks() > i64::from(ticks)) {
                break;
            }
            (count, sum, bytes) = (count + 1, sum + one.ticks(), bytes + one.bytes);
        }
        let complete = run < loose.len() || count < loose.len() || sum >= i64::from(ticks);
        let chosen = loose.get(..count).unwrap_or_default();
        let (Some(first), Some(last), true) = (chosen.first(), chosen.last(), complete) else { return Ok(()) };
        let transaction = self.db.transaction().during(WHAT, &path)?;
        if count == 1 {
            transaction.execute("UPDATE segment SET merged = 1 WHERE id = ?", [first.id]).during(WHAT, &path)?;
            return transaction.commit().during(WHAT, &path);
        }
        let mut segments = Segments::new(&transaction, &path)?;
        let parts = chosen.iter().map(|one| segments.whole(one.id)).collect::<Result<Vec<_>, _>>()?;
        drop(segments);
        let times: Vec<i64> = parts.iter().flat_map(|part| part.segment.times.iter().copied()).collect();
        let mut builder = Builder::new(&times, Effort::Full).ok_or_else(|| seal::refused(&path))?;
        for (series, places) in by_series(&parts) {
            let mut column = Column::default();
            for (index, place) in places {
                let Some(part) = parts.get(index) else { continue };
                let base = (part.segment.first_seq - first.first_seq) as usize;
                column.append(base, &part.column(place, &path)?);
            }
            builder.push(series, &column).ok_or_else(|| seal::refused(&path))?;
        }
        drop(parts);
        for one in chosen {
            delete_segment(&transaction, one.id).during(WHAT, &path)?;
        }
        let stretch = Stretch { tier: 0, merged: true, first_seq: first.first_seq, last_seq: last.last_seq, times };
        seal::write_segment(&transaction, &stretch, &builder.end(), self.page_bytes).during(WHAT, &path)?;
        transaction.commit().during(WHAT, &path)
    }

    fn loose(&self) -> Result<Vec<Loose>, StoreError> {
        let sql = "SELECT id, first_seq, last_seq,
              (SELECT sum(length(data)) FROM page WHERE page.id >= segment.id << 20 AND page.id < (segment.id + 1) << 20)
            FROM segment WHERE merged = 0 ORDER BY first_seq";
        let mut statement = self.db.prepare(sql).during(WHAT, &self.path)?;
        let rows = statement
            .query_map(params![], |row| {
                let bytes: Option<i64> = row.get(3)?;
                Ok(Loose {
                    id: row.get(0)?,
                    first_seq: row.get(1)?,
                    last_seq: row.get(2)?,
                    bytes: bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0),
                })
            })
            .during(WHAT, &self.path)?;
        rows.collect::<rusqlite::Result<_>>().during(WHAT, &self.path)
    }
}
