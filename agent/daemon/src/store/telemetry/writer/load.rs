//! What the writer reads before it writes: what the next row leans on, and what sums and exporters go on from.

use std::sync::atomic::Ordering;

use holdfast_core::model::{SeriesId, Timestamp};

use super::super::super::error::{Context, StoreError};
use super::super::Shared;
use super::super::cursors::Cursors;
use super::super::disk::Disk;
use super::super::seal;
use super::super::tail::{Tail, last_sealed};
use super::Writer;

/// With fewer unsealed ticks at the start, sums that go on are looked for in what is sealed, too: some minutes.
const RESUME_TICKS: u32 = 180;

/// A stretch that does not decode costs itself: it is looked for before the next tick is written.
fn sealed_lasts(disk: &Disk, shared: &Shared) -> Result<Vec<(u32, f64, i64)>, StoreError> {
    match last_sealed(disk) {
        Err(error) if error.is_corrupt() => {
            shared.damaged.store(true, Ordering::Relaxed);
            Ok(Vec::new())
        }
        found => found,
    }
}

impl Writer {
    /// Reads what is there, before anybody is given a number: sums that the agent keeps itself go on from it.
    pub(in super::super) fn begin(&mut self) {
        let known = self.disk.as_ref().map(|disk| Cursors::read(&disk.db, &disk.path));
        let loaded = known.unwrap_or_else(|| Ok(Cursors::default())).and_then(|cursors| {
            self.cursors = cursors;
            self.load()?;
            self.resume()
        });
        self.settle(loaded);
        self.measure();
    }

    /// What counters had come to. The newest rows alone may be few, and hold nothing of what is read seldom.
    fn resume(&mut self) -> Result<(), StoreError> {
        let Some(disk) = self.disk.as_ref() else { return Ok(()) };
        let newest = std::mem::take(&mut self.tail.counters);
        if (1..RESUME_TICKS).contains(&self.tail.ticks) {
            for (id, value, at) in
                sealed_lasts(disk, &self.shared)?.into_iter().filter(|(id, ..)| self.kinds.contains(*id))
            {
                self.tail.counters.insert(id, (value, at));
            }
        }
        for (id, last) in newest.iter() {
            self.tail.counters.insert(id, last);
        }
        let lasts = self.tail.counters.iter().map(|(id, (value, _))| (SeriesId(id), value));
        self.registry.set_lasts(lasts.collect());
        Ok(())
    }

    /// Reads what the next row leans on.
    pub(super) fn load(&mut self) -> Result<(), StoreError> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let (mut tail, mut unsealed, mut newest_at) = (Tail::default(), 0, None);
        self.kinds.renew(&self.registry);
        let kinds = &self.kinds;
        seal::newest(&disk.db, &disk.path, |seq, at, row| {
            tail.next_seq = seq + 1;
            tail.ticks += 1;
            unsealed += row.len() as u64;
            newest_at = newest_at.max(Some(at));
            tail.oldest_newest_at.get_or_insert(at);
            kinds.note(&mut tail.counters, row, at);
        })?;
        let what = "read the position of the newest samples";
        let one = |sql: &str| disk.db.query_row(sql, [], |row| row.get::<_, Option<i64>>(0)).during(what, &disk.path);
        let after = [
            one("SELECT max(last_seq) FROM segment WHERE tier = 0")?,
            one("SELECT max(seq) FROM sealed_until")?,
            // Whatever was exported was there, even when retention has deleted it since.
            one("SELECT max(position) FROM export_cursor WHERE stream = 'metrics'")?,
        ];
        let after = after.into_iter().flatten().max().unwrap_or(0);
        tail.next_seq = tail.next_seq.max(after + 1).max(self.tail.next_seq).max(1);
        if tail.counters.is_empty() {
            tail.counters = std::mem::take(&mut self.tail.counters);
        }
        if tail.counters.is_empty() {
            for (id, value, at) in sealed_lasts(disk, &self.shared)? {
                if kinds.contains(id) {
                    tail.counters.insert(id, (value, at));
                }
            }
        }
        let held = one("SELECT sum(samples) FROM segment WHERE tier = 0")?.unwrap_or(0);
        let oldest = [one("SELECT min(first_at) FROM segment")?, tail.oldest_newest_at];
        let newest = [one("SELECT max(last_at) FROM segment")?, newest_at];
        self.shared.stats(|stats| {
            stats.samples_held = u64::try_from(held).unwrap_or(0) + unsealed;
            stats.oldest = oldest.into_iter().flatten().min().map(Timestamp::from_ns);
            stats.newest = newest.into_iter().flatten().max().map(Timestamp::from_ns);
        });
        self.tail = tail;
        Ok(())
    }
}
