//! `telemetry.db`: samples and changes, compressed, bounded in age and size, and the queue of every exporter.
//!
//! One writer thread behind a bounded queue, one transaction for what has arrived (normally one tick). A tick is one row of
//! `newest`; every few minutes the rows are sealed, in one transaction, into compressed columns, and every hour those are
//! merged. What grows old is kept as minutes, then as hours. Nothing waits for this
//! store: a full queue is a counted loss, a full disk is waited out within bounds, a damaged file is set aside.

mod across;
mod cursors;
mod disk;
mod episode;
mod export;
mod fill;
mod forget;
mod kept;
mod ledger;
mod merge;
mod purge;
mod query;
mod reader;
mod registry;
mod retention;
mod roll;
mod room;
mod row;
mod schema;
mod seal;
mod segment;
mod steps;
mod stored;
mod subject;
mod tail;
mod tiers;
mod varint;
mod writer;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_core::model::{Change, SampleBatch, Timestamp};
use holdfast_core::redact::Redactor;
use tokio::sync::watch;

use super::error::StoreError;
use super::sqlite::Pool;
use crate::telemetry::Event;
use crate::telemetry::events::{QueueFull, StoreFailed, StoreSetAside};
use ledger::Owed;

pub use across::{Across, Joined};
pub use export::{ExportCursor, ExportSeries, ExportSlice, Gap};
pub use fill::Fill;
pub use kept::Kept;
pub use purge::{PurgeFilter, Purged};
pub use query::Agg;
pub use reader::{ChangeFilter, Query, SeriesFilter, SeriesPoints, TelemetryReader};
pub use registry::SeriesRegistry;
pub use retention::{NextPlan, RecordsPlan, RetentionPlan, TierPlan};
pub use subject::Subject;

/// Messages that may wait for the writer: some minutes of ticks. A full queue is a counted loss.
const QUEUE_MAX: usize = 256;
/// Events that wait to be taken; older ones make room.
const EVENTS_MAX: usize = 64;
/// The database's name within the data directory.
const FILE: &str = "telemetry.db";

/// How much is kept, and how it is sealed.
#[derive(Debug, Clone)]
pub struct TelemetryOptions {
    /// Wall time now; names a damaged file that is set aside.
    pub opened_at: Timestamp,
    /// Samples older than this, seen from the newest one, become minutes. Default: 30 days.
    pub retention: Duration,
    /// Minutes older than this become hours; no longer than `retention` means no minutes. Default: 90 days.
    pub minutes: Duration,
    /// Hours older than this are deleted; no longer than the finer tiers means no hours. Default: 730 days.
    pub hours: Duration,
    /// Changes and the gap ledger older than this are deleted. Default: 90 days.
    pub changes: Duration,
    /// The database and its write-ahead log together stay below this many bytes; the oldest data make room. At least
    /// 4 MiB are used. Default: 2 GiB.
    pub size_max_bytes: u64,
    /// Ticks that are sealed together, 2 to 32 768. Unsealed ones take more room. Default: 240.
    pub seal_ticks: u32,
    /// Ticks that are merged into one stretch in the end. More compress better and cost more to read a few of. Default: 3600.
    pub merge_ticks: u32,
    /// Fewer ticks are sealed when the oldest of them is this old. Default: 30 minutes.
    pub seal_after: Duration,
    /// Series that are told apart. When they run short, those that were silent for an hour are forgotten. Default: 20 000.
    pub series_max: usize,
    /// What is taken out of a series' attributes before it is known. Default: secrets.
    pub redactor: Arc<Redactor>,
}

impl Default for TelemetryOptions {
    fn default() -> Self {
        Self {
            opened_at: Timestamp::from_ns(0),
            retention: Duration::from_hours(30 * 24),
            minutes: Duration::from_hours(90 * 24),
            hours: Duration::from_hours(730 * 24),
            changes: Duration::from_hours(90 * 24),
            size_max_bytes: 2 << 30,
            seal_ticks: 240,
            merge_ticks: 3_600,
            seal_after: Duration::from_mins(30),
            series_max: 20_000,
            redactor: Arc::new(Redactor::standard()),
        }
    }
}

/// How the store stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TelemetryStats {
    /// Size of the database file and its write-ahead log, in bytes.
    pub bytes: u64,
    /// Samples written since the agent started.
    pub samples_stored: u64,
    /// Samples in the database now, those not counted that became minutes or hours.
    pub samples_held: u64,
    /// Samples and changes that were lost: queue full, disk full for too long, file damaged.
    pub lost: u64,
    /// Readings whose series found no number left (`series_max`).
    pub series_refused: u64,
    /// Moment of the oldest tick held.
    pub oldest: Option<Timestamp>,
    /// Moment of the newest tick held.
    pub newest: Option<Timestamp>,
    /// Series known.
    pub series: u64,
    /// Ticks and changes that wait because writing fails.
    pub waiting: u64,
    /// Why writing fails at the moment.
    pub failing: Option<String>,
    /// Damaged files set aside since the agent started.
    pub set_aside: u64,
}

/// Something about the store that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreEvent {
    /// The file was damaged; it was set aside and an empty one is in use.
    CorruptSetAside {
        /// Where it lies now.
        path: PathBuf,
        /// What was wrong.
        why: String,
    },
    /// Writing fails; data wait in memory, within bounds.
    WritingFails {
        /// Why, and what to do.
        why: String,
    },
    /// Writing works again.
    WritingWorks {
        /// Samples and changes lost meanwhile.
        lost: u64,
    },
}

#[derive(Debug, Default)]
struct Shared {
    stats: Mutex<TelemetryStats>,
    events: Mutex<VecDeque<StoreEvent>>,
    lost: AtomicU64,
    /// A reader came upon a damaged page.
    damaged: AtomicBool,
    /// Rows that the gap ledger is owed.
    owed: Mutex<Owed>,
    /// Ticks that are in the database.
    kept: watch::Sender<Kept>,
}

impl Shared {
    fn stats(&self, change: impl FnOnce(&mut TelemetryStats)) {
        change(&mut self.stats.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn owed(&self) -> MutexGuard<'_, Owed> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, event: StoreEvent) {
        match &event {
            StoreEvent::CorruptSetAside { path, why } => {
                StoreSetAside { path, error: why }.emit();
            }
            StoreEvent::WritingFails { why } => StoreFailed { error: why }.emit(),
            StoreEvent::WritingWorks { lost } => tracing::info!(lost, "Telemetry is written again."),
        }
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() == EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event);
    }
}

/// What the writer is asked to write.
#[derive(Debug)]
enum Record {
    Batch(Arc<SampleBatch>),
    Change(Box<Change>),
    Cursor { destination: String, stream: String, position: u64 },
    Gap(Gap),
}

impl Record {
    /// Samples and changes that are lost with it.
    fn weight(&self) -> u64 {
        match self {
            Self::Batch(batch) => batch.samples.len() as u64,
            Self::Change(_) => 1,
            Self::Cursor { .. } | Self::Gap(_) => 0,
        }
    }

    /// The moment of the tick that it is.
    fn tick(&self) -> Option<Timestamp> {
        if let Self::Batch(batch) = self { Some(batch.at) } else { None }
    }

    /// Its moment, where it has one.
    fn at(&self) -> Timestamp {
        match self {
            Self::Batch(batch) => batch.at,
            Self::Change(change) => change.at,
            Self::Gap(gap) => gap.at,
            Self::Cursor { .. } => Timestamp::from_ns(0),
        }
    }
}

#[derive(Debug)]
enum Message {
    Write(Record),
    Flush(SyncSender<Result<(), StoreError>>),
    Purge(PurgeFilter, SyncSender<Result<Purged, StoreError>>),
    Close(SyncSender<Result<(), StoreError>>),
}

/// The store of samples and changes; cheap to clone.
#[derive(Debug, Clone)]
pub struct TelemetryDb(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: SyncSender<Message>,
    registry: Arc<SeriesRegistry>,
    shared: Arc<Shared>,
    pool: Pool,
    options: Arc<TelemetryOptions>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl TelemetryDb {
    /// Opens or creates `telemetry.db` in `dir` and starts its writer. A damaged file is set aside and reported as an event.
    pub fn open(dir: &Path, options: TelemetryOptions) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared::default());
        let path = dir.join(FILE);
        let (disk, registry) = disk::Disk::open(&path, &options, &shared)?;
        let registry = Arc::new(registry);
        let pool = Pool::new(path.clone());
        let (queue, messages) = sync_channel(QUEUE_MAX);
        let kept = Arc::new(options.clone());
        let mut writer = writer::Writer::new(disk, options, Arc::clone(&registry), Arc::clone(&shared), pool.clone());
        writer.begin();
        let thread = std::thread::Builder::new()
            .name("telemetry-db".to_owned())
            .spawn(move || writer.run(&messages))
            .map_err(|source| StoreError::io("start the writer of", &path, source))?;
        Ok(Self(Arc::new(Inner { queue, registry, shared, pool, options: kept, writer: Mutex::new(Some(thread)) })))
    }

    /// Series and their numbers.
    pub fn registry(&self) -> Arc<SeriesRegistry> {
        Arc::clone(&self.0.registry)
    }

    /// Queues one tick. Never blocks: a full queue is a counted loss.
    pub fn write_batch(&self, batch: Arc<SampleBatch>) {
        self.queue(Record::Batch(batch));
    }

    /// Queues one change; false when it is refused. Never blocks: a full queue is a counted loss. A change that is there already is
    /// left as it is.
    pub fn write_change(&self, change: Change) -> bool {
        self.queue(Record::Change(Box::new(change)))
    }

    /// Keeps rows of the gap ledger, data that an exporter could not deliver, and then its position, durably once this
    /// returns. Blocks for one transaction: not for async tasks.
    pub fn settle_export(
        &self,
        gaps: Vec<Gap>,
        destination: &str,
        stream: &str,
        position: u64,
    ) -> Result<(), StoreError> {
        for gap in gaps {
            self.0.queue.send(Message::Write(Record::Gap(gap))).map_err(|_| StoreError::Closed)?;
        }
        self.set_export_cursor(destination, stream, position)
    }

    /// Keeps an exporter's position, durably once this returns. Blocks for one transaction: not for async tasks.
    pub fn set_export_cursor(&self, destination: &str, stream: &str, position: u64) -> Result<(), StoreError> {
        let (destination, stream) = (destination.to_owned(), stream.to_owned());
        let record = Record::Cursor { destination, stream, position };
        self.0.queue.send(Message::Write(record)).map_err(|_| StoreError::Closed)?;
        self.flush()
    }

    /// Whether there was room.
    fn queue(&self, record: Record) -> bool {
        if let Err(TrySendError::Full(Message::Write(record)) | TrySendError::Disconnected(Message::Write(record))) =
            self.0.queue.try_send(Message::Write(record))
        {
            let lost = record.weight();
            self.0.shared.lost.fetch_add(lost, Ordering::Relaxed);
            self.0.shared.owed().add(ledger::lost(record.at(), lost, ledger::QUEUE_FULL));
            QueueFull { queue: "telemetry.db", lost }.emit();
            return false;
        }
        true
    }

    /// Which ticks are stored, as they are.
    pub fn kept(&self) -> watch::Receiver<Kept> {
        self.0.shared.kept.subscribe()
    }

    /// Readers beside the writer.
    pub fn reader(&self) -> TelemetryReader {
        let it = &self.0;
        TelemetryReader::new(it.pool.clone(), Arc::clone(&it.registry), Arc::clone(&it.shared), Arc::clone(&it.options))
    }

    /// How the store stands, as of the last tick.
    pub fn stats(&self) -> TelemetryStats {
        let mut stats = self.0.shared.stats.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stats.lost = self.0.shared.lost.load(Ordering::Relaxed);
        stats.series = self.0.registry.len() as u64;
        stats.series_refused = self.0.registry.refused();
        stats
    }

    /// Takes the events since the last call, oldest first.
    pub fn take_events(&self) -> Vec<StoreEvent> {
        self.0.shared.events.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect()
    }

    /// Waits until everything queued before is written; the error says why it is not.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.ask(Message::Flush)
    }

    /// Forgets the samples of some series and some changes, for good. Blocks, with all writing, for as long as it takes to
    /// write every stretch again that holds some of them: not for async tasks. An empty filter forgets nothing.
    pub fn purge(&self, filter: PurgeFilter) -> Result<Purged, StoreError> {
        let (done, wait) = sync_channel(1);
        self.0.queue.send(Message::Purge(filter, done)).map_err(|_| StoreError::Closed)?;
        wait.recv().map_err(|_| StoreError::Closed)?
    }

    /// Damaged files that were set aside and are still there: what was purged since lies in them, too.
    pub fn files_aside(&self) -> Vec<PathBuf> {
        disk::files_aside(self.0.pool.path())
    }

    /// Writes what is queued and stops the writer. What cannot be written by now is lost.
    pub fn close(&self) -> Result<(), StoreError> {
        let result = self.ask(Message::Close);
        if let Some(thread) = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
        result
    }

    fn ask(&self, message: impl FnOnce(SyncSender<Result<(), StoreError>>) -> Message) -> Result<(), StoreError> {
        let (done, wait) = sync_channel(1);
        self.0.queue.send(message(done)).map_err(|_| StoreError::Closed)?;
        wait.recv().map_err(|_| StoreError::Closed)?
    }
}

#[cfg(test)]
mod tests;
