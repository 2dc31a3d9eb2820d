//! Bytes a sample of a real host: what the agent's own collectors read here, once a second, in the agent's own store.
//!
//! A recording takes as long as it takes, so it is a run of its own: `--idle-host`. The store merges what was sealed after an
//! hour; here it does so at the end of the recording, so that the file is in the form that it has for all but its last hour.
//! The stretch is shorter than an hour's, which compresses a little less. How busy the host was meanwhile is a figure, too.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast::collect::{CollectConfig, Collectors};
use holdfast::host::FsRoot;
use holdfast::store::{TelemetryDb, TelemetryOptions};
use holdfast_core::model::Timestamp;

use crate::figures::{Figure, Goal};
use crate::{Result, measure};

/// Seconds that are recorded: four stretches as the store seals them.
const TICKS: u32 = 960;

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ns(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Share of the host's CPU time that was not idle, in percent, since the kernel's counts that are given.
fn busy_and_all() -> Result<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().ok_or("an empty /proc/stat")?;
    let times: Vec<f64> = line.split_ascii_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let all: f64 = times.iter().take(8).sum();
    let idle: f64 = times.iter().skip(3).take(2).sum();
    Ok((all - idle, all))
}

pub(crate) fn figures() -> Result<Vec<Figure>> {
    let dir = tempfile::tempdir()?;
    let options = TelemetryOptions { opened_at: now(), merge_ticks: TICKS, ..TelemetryOptions::default() };
    let db = TelemetryDb::open(dir.path(), options)?;
    let mut collectors = Collectors::new(FsRoot::real(), db.registry(), CollectConfig::default());
    let (busy, all) = busy_and_all()?;
    let mut due = Instant::now();
    for tick in 0..TICKS {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        due += Duration::from_secs(1);
        db.write_batch(Arc::new(collectors.collect(now())));
        if tick % 120 == 0 {
            eprintln!("{tick} of {TICKS} s recorded");
        }
    }
    db.flush()?;
    let (samples, (busy_then, all_then)) = (db.stats().samples_stored as f64, busy_and_all()?);
    db.close()?;
    drop(db);
    let whole = measure::bytes_below(&dir.path().join("telemetry.db")) as f64;
    let sealed = sealed_bytes(&dir.path().join("telemetry.db"))?;
    Ok(vec![
        Figure::new("idle_host_bytes_per_sample", sealed / samples, "B", Goal::AtMost(0.45)),
        Figure::new("idle_host_bytes_per_sample_whole_file", whole / samples, "B", Goal::None),
        Figure::new("idle_host_samples", samples, "1", Goal::None),
        Figure::new("idle_host_cpu_busy", (busy_then - busy) / (all_then - all) * 100.0, "%", Goal::None),
    ])
}

/// Bytes of the file's pages that hold sealed samples, their indexes and overflow included. What is left is there once,
/// however long the agent runs: the schema, the names of the series, and the room of the newest minutes.
fn sealed_bytes(path: &Path) -> Result<f64> {
    let db = rusqlite::Connection::open(path)?;
    let sql = "SELECT sum(pgsize) FROM dbstat WHERE name IN ('page', 'segment') OR name LIKE 'segment_%'";
    Ok(db.query_row(sql, [], |row| row.get(0))?)
}
