//! The one thread that writes `telemetry.db`.
//!
//! What fails to be written waits, within bounds, and is tried again with the next message or a second later; what does
//! not fit any more is a counted loss, and a row of the gap ledger once writing works again.

mod load;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use holdfast_core::model::Timestamp;
use rusqlite::params;

use super::super::error::{Context, StoreError};
use super::super::sqlite::{Frequent, Pool};
use super::cursors::Cursors;
use super::disk::Disk;
use super::kept;
use super::ledger;
use super::seal::TICKS_MAX;
use super::tail::{Counters, Tail, write_change, write_series, write_tick};
use super::{Message, PurgeFilter, Purged, Record, SeriesRegistry, Shared, StoreEvent, TelemetryOptions};
use crate::telemetry::Chain;

/// Records that may wait in memory while writing fails: some minutes of ticks and a burst of changes.
const WAITING_MAX: usize = 600;
/// Records written in one transaction.
const TRANSACTION_MAX: usize = 256;
/// Pause before a failed write is tried again without a new message.
const RETRY: Duration = Duration::from_secs(1);

type Done = SyncSender<Result<(), StoreError>>;

pub(super) struct Writer {
    /// `None` while no file can be opened.
    disk: Option<Disk>,
    options: TelemetryOptions,
    registry: Arc<SeriesRegistry>,
    shared: Arc<Shared>,
    pool: Pool,
    tail: Tail,
    kinds: Counters,
    /// Fresh series that are stored.
    stored_series: usize,
    waiting: VecDeque<Record>,
    failing: bool,
    lost_before: u64,
    /// Positions of exporters as they were kept last: they outlive a damaged file.
    cursors: Cursors,
    now: Timestamp,
}

impl Writer {
    pub(super) fn new(
        disk: Disk,
        options: TelemetryOptions,
        registry: Arc<SeriesRegistry>,
        shared: Arc<Shared>,
        pool: Pool,
    ) -> Self {
        let now = options.opened_at;
        Self {
            disk: Some(disk),
            options,
            registry,
            shared,
            pool,
            tail: Tail::default(),
            kinds: Counters::default(),
            stored_series: 0,
            waiting: VecDeque::new(),
            failing: false,
            lost_before: 0,
            cursors: Cursors::default(),
            now,
        }
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        let mut closing: Option<Done> = None;
        while closing.is_none() {
            let first = if self.waiting.is_empty() {
                match messages.recv() {
                    Ok(message) => Some(message),
                    Err(_) => break,
                }
            } else {
                match messages.recv_timeout(RETRY) {
                    Ok(message) => Some(message),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            };
            let mut flushes: Vec<Done> = Vec::new();
            let mut purges = Vec::new();
            for message in first.into_iter().chain(messages.try_iter().take(TRANSACTION_MAX - 1)) {
                match message {
                    Message::Write(record) => self.waiting.push_back(record),
                    Message::Flush(done) => flushes.push(done),
                    Message::Purge(filter, done) => purges.push((filter, done)),
                    Message::Close(done) => closing = Some(done),
                }
            }
            let result = self.write();
            for done in flushes.into_iter().chain(closing.clone()) {
                let answer = result.clone().map_err(|why| self.unwritten(why));
                let _ = done.send(answer);
            }
            for (filter, done) in purges {
                let answer = result.clone().map_err(|why| self.unwritten(why)).and_then(|()| self.purge(&filter));
                let _ = done.send(answer);
            }
        }
        self.lose(self.waiting.len());
    }

    fn purge(&mut self, filter: &PurgeFilter) -> Result<Purged, StoreError> {
        let known = self.registry.select(None).into_iter();
        let subject = self.registry.subject(&filter.where_);
        let series: BTreeSet<u32> = known.filter(|(_, key)| subject.is_of(key)).map(|(id, _)| id.0).collect();
        let disk = self.disk.as_mut().ok_or(StoreError::Closed)?;
        disk.seal()?;
        let purged = disk.purge(&series, filter.target.as_deref(), &subject);
        let next_seq = self.tail.next_seq;
        // Counters go on from what is stored now.
        self.tail = Tail { next_seq, ..Tail::default() };
        self.load()?;
        purged
    }

    fn unwritten(&self, why: String) -> StoreError {
        StoreError::io("write", self.pool.path(), std::io::Error::other(why))
    }

    /// Writes what waits; the error is for whoever flushes, everything else about it is done here.
    fn write(&mut self) -> Result<(), String> {
        if self.shared.damaged.swap(false, Ordering::Relaxed) {
            let verdict = self.disk()?.check();
            if let Ok(lost @ 1..) = verdict {
                self.shared.lost.fetch_add(lost, Ordering::Relaxed);
                self.shared.owed().add(ledger::lost(self.now, lost, "a sealed stretch was damaged and dropped"));
            }
            let verdict = verdict.and_then(|_| self.load());
            self.settle(verdict);
        }
        loop {
            // What is owed is told when the rest is written: until then it grows in its place.
            if self.waiting.is_empty() {
                let owed = self.shared.owed().take();
                self.waiting.extend(owed.into_iter().map(Record::Gap));
            }
            if self.waiting.is_empty() {
                break;
            }
            let batch: Vec<Record> = self.waiting.drain(..self.waiting.len().min(TRANSACTION_MAX)).collect();
            let next_seq = self.tail.next_seq;
            let written = self.write_some(&batch);
            if let Err(error) = written {
                // Nothing may lean on rows of the transaction that failed.
                self.tail = Tail { next_seq, ..Tail::default() };
                if let Err(error) = self.load() {
                    tracing::debug!(error = %Chain(&error), "Telemetry tail not read.");
                }
                for record in batch.into_iter().rev() {
                    self.waiting.push_front(record);
                }
                let why = Chain(&error).to_string();
                let again = self.settle(Err(error));
                self.bound();
                self.measure();
                if again {
                    continue;
                }
                return Err(why);
            }
            self.works();
        }
        let kept = self.keep_house();
        self.settle(kept);
        self.measure();
        Ok(())
    }

    fn disk(&mut self) -> Result<&mut Disk, String> {
        if self.disk.is_none() {
            let opened = Disk::open(self.pool.path(), &self.options, &self.shared);
            self.disk = Some(opened.map_err(|error| Chain(&error).to_string())?.0);
        }
        self.disk.as_mut().ok_or_else(|| "the database is not open".to_owned())
    }

    /// Deals with a failure. True when trying again at once makes sense: room was made, or a fresh file is in place.
    fn settle(&mut self, result: Result<(), StoreError>) -> bool {
        let Err(error) = result else { return false };
        if error.is_corrupt()
            && let Some(disk) = self.disk.take()
        {
            match disk.start_over(&self.options, self.now, &error, &self.shared) {
                Ok(fresh) => {
                    self.disk = Some(fresh);
                    self.waiting.extend(self.cursors.records());
                    self.registry.all_fresh();
                    self.stored_series = 0;
                    // The numbers go on, so that no exporter takes new ticks for old ones.
                    self.tail = Tail { next_seq: self.tail.next_seq, ..Tail::default() };
                    self.pool.renew();
                    return self.load().is_ok();
                }
                Err(error) => self.fails(&error),
            }
            return false;
        }
        if matches!(error, StoreError::Full { .. })
            && let Some(disk) = self.disk.as_mut()
            && disk.make_room(&self.options).unwrap_or(false)
        {
            return true;
        }
        self.fails(&error);
        false
    }

    fn fails(&mut self, error: &StoreError) {
        let why = match error.hint() {
            Some(hint) => format!("{}; {hint}", Chain(error)),
            None => Chain(error).to_string(),
        };
        self.shared.stats(|stats| stats.failing = Some(why.clone()));
        if !self.failing {
            self.failing = true;
            self.lost_before = self.shared.lost.load(Ordering::Relaxed);
            self.shared.event(StoreEvent::WritingFails { why });
        }
    }

    fn works(&mut self) {
        if self.failing {
            self.failing = false;
            let lost = self.shared.lost.load(Ordering::Relaxed).saturating_sub(self.lost_before);
            self.shared.stats(|stats| stats.failing = None);
            self.shared.event(StoreEvent::WritingWorks { lost });
        }
    }

    fn bound(&mut self) {
        if let Some(excess) = self.waiting.len().checked_sub(WAITING_MAX) {
            self.lose(excess);
        }
    }

    /// Rows of the gap ledger are owed all the same; a position that is lost means a repetition, not a hole.
    fn lose(&mut self, records: usize) {
        let mut owed = self.shared.owed();
        let (mut weight, mut first) = (0, None);
        for record in self.waiting.drain(..records) {
            match record {
                Record::Gap(gap) => owed.add(gap),
                Record::Cursor { .. } => {}
                lost => {
                    weight += lost.weight();
                    first.get_or_insert(lost.at());
                }
            }
        }
        if let Some(at) = first {
            owed.add(ledger::lost(at, weight, ledger::WAITED_TOO_LONG));
            self.shared.lost.fetch_add(weight, Ordering::Relaxed);
        }
    }

    fn measure(&mut self) {
        let (bytes, waiting) = (self.disk.as_ref().map_or(0, Disk::bytes), self.waiting.len() as u64);
        self.shared.stats(|stats| (stats.bytes, stats.waiting) = (bytes, waiting));
    }

    fn write_some(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let disk = match self.disk() {
            Ok(_) => self.disk.as_mut().ok_or(StoreError::Closed)?,
            Err(why) => return Err(self.unwritten(why)),
        };
        disk.bound_log()?;
        let (db, path) = (&disk.db, &disk.path);
        let transaction = Frequent::begin(db).during("write samples", path)?;
        let now = records.iter().rev().find_map(Record::tick);
        let now = now.unwrap_or(self.now);
        let fresh = self.registry.fresh(self.stored_series);
        let first_at = records.iter().find_map(Record::tick);
        write_series(db, &fresh, first_at.unwrap_or(now)).during("write series", path)?;
        self.kinds.renew(&self.registry);
        let kinds = &self.kinds;
        let (mut samples, mut first, mut last) = (0, None, None);
        for record in records {
            match record {
                Record::Batch(batch) => {
                    write_tick(db, &mut self.tail, batch, kinds).during("write samples", path)?;
                    samples += batch.samples.len() as u64;
                    first.get_or_insert(batch.at);
                    last = Some(batch.at);
                }
                Record::Change(change) => write_change(db, change, path)?,
                Record::Cursor { destination, stream, position } => {
                    let sql = "INSERT OR REPLACE INTO export_cursor (destination, stream, position) VALUES (?,?,?)";
                    db.execute(sql, params![destination, stream, *position as i64])
                        .during("write an export cursor", path)?;
                    self.cursors.keep(destination, stream, *position);
                }
                Record::Gap(gap) => {
                    let sql = "INSERT INTO gap (at, stream, count, reason) VALUES (?,?,?,?)";
                    db.execute(sql, params![gap.at.ns(), gap.stream, gap.count as i64, gap.reason])
                        .during("write a gap", path)?;
                }
            }
        }
        transaction.commit().during("write samples", path)?;
        kept::tell(&self.shared.kept, records.iter().filter_map(Record::tick));
        self.stored_series += fresh.len();
        self.now = now;
        self.shared.stats(|stats| {
            stats.samples_stored += samples;
            stats.samples_held += samples;
            stats.oldest = stats.oldest.or(first);
            stats.newest = stats.newest.max(last);
        });
        Ok(())
    }

    /// Seals when it is time, and deletes what is too old or too much.
    fn keep_house(&mut self) -> Result<(), StoreError> {
        let due = self.tail.ticks >= self.options.seal_ticks.clamp(2, TICKS_MAX)
            || self
                .tail
                .oldest_newest_at
                .is_some_and(|at| self.now.since(Timestamp::from_ns(at)) >= self.options.seal_after);
        let Some(disk) = self.disk.as_mut().filter(|_| due) else { return Ok(()) };
        disk.seal()?;
        (self.tail.ticks, self.tail.oldest_newest_at, self.tail.before) = (0, None, None);
        match disk.merge(self.options.merge_ticks.clamp(2, TICKS_MAX)) {
            // A stretch that does not decode costs itself: it is looked for before the next tick is written.
            Err(error) if error.is_corrupt() => self.shared.damaged.store(true, Ordering::Relaxed),
            merged => merged?,
        }
        disk.expire(self.now, &self.options)?;
        disk.make_room(&self.options)?;
        let gone = disk.forget_series(self.options.series_max, Some(self.now))?;
        self.registry.forget(&gone);
        self.load()
    }
}
