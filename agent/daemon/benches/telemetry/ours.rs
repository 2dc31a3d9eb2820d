//! The store under measurement.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use holdfast::store::{Agg, Query, TelemetryDb, TelemetryOptions};
use holdfast_core::model::{Attributes, MetricKind, SampleBatch, SeriesId, SeriesKey, Timestamp};

use crate::socket::{self, OverSocket};
use crate::workload::{Class, T0_S, Workload, class_of, name_of};
use crate::{Result, SERIES, TICKS, TICKS_DAY, measure, ready};

const QUERIES: usize = 60;
const STARTS: usize = 7;
/// Ticks beyond the day that are not sealed yet when the store is asked: half of what may be.
const TICKS_NEWEST: usize = 120;
/// Where the day that is asked for begins: so long after the first tick.
pub(crate) const NEWEST_LEFT_OUT_S: i64 = TICKS_NEWEST as i64;
/// Days that the start is measured with.
const DAYS: i64 = 30;

#[derive(Debug, Default)]
pub(crate) struct Ours {
    pub(crate) disk_bytes_per_sample: f64,
    pub(crate) running_bytes_per_sample: f64,
    pub(crate) written_bytes_per_sample: f64,
    pub(crate) cpu_us_per_sample: f64,
    pub(crate) query_cpu_us: f64,
    pub(crate) query_wall_us: f64,
    pub(crate) over_socket: OverSocket,
    pub(crate) start_cpu_ms: f64,
    pub(crate) start_wall_ms: f64,
    pub(crate) ready_ms: f64,
    pub(crate) resident_mib: f64,
}

fn open(dir: &Path) -> Result<TelemetryDb> {
    let opened_at = Timestamp::from_secs(T0_S);
    Ok(TelemetryDb::open(dir, TelemetryOptions { opened_at, ..TelemetryOptions::default() })?)
}

fn key(series: usize) -> SeriesKey {
    let class = class_of(series);
    SeriesKey {
        metric: name_of(class).to_owned(),
        unit: "1".to_owned(),
        kind: if class == Class::Counter { MetricKind::Counter } else { MetricKind::Gauge },
        attributes: Attributes::from([("idx".to_owned(), series.to_string())]),
    }
}

/// Stores ticks `from..to`, each acknowledged before the next.
fn store(db: &TelemetryDb, ids: &[SeriesId], workload: &mut Workload, from: usize, to: usize) -> Result<()> {
    for tick in from..to {
        let samples = ids.iter().copied().zip(workload.tick()).collect();
        let at = Timestamp::from_secs(T0_S + tick as i64);
        db.write_batch(Arc::new(SampleBatch { at, new_series: Vec::new(), samples }));
        db.flush()?;
    }
    Ok(())
}

pub(crate) fn measure() -> Result<Ours> {
    let dir = tempfile::tempdir()?;
    let mut found = Ours::default();
    let samples = (SERIES * TICKS) as f64;
    let mut workload = Workload::new(SERIES);

    let (cpu, written) = (measure::cpu_of_others(), measure::written("self")?);
    let db = open(dir.path())?;
    let ids: Vec<SeriesId> = (0..SERIES).map(|n| db.registry().intern(&key(n)).0).collect();
    store(&db, &ids, &mut workload, 0, TICKS)?;
    found.running_bytes_per_sample = measure::bytes_below(dir.path()) as f64 / samples;
    found.resident_mib = measure::resident_mib("self")?;
    db.close()?;
    let spent = measure::cpu_of_others().saturating_sub(cpu);
    found.cpu_us_per_sample = spent.as_secs_f64() * 1e6 / samples;
    found.written_bytes_per_sample = (measure::written("self")? - written) as f64 / samples;
    found.disk_bytes_per_sample = measure::bytes_below(dir.path()) as f64 / samples;
    drop(db);

    let db = open(dir.path())?;
    // Some minutes more, so that the newest rows are many as they mostly are.
    store(&db, &ids, &mut workload, TICKS, TICKS_DAY + TICKS_NEWEST)?;
    (found.query_wall_us, found.query_cpu_us) = query(&db)?;
    db.close()?;
    drop(db);

    found.over_socket = socket::measure(dir.path())?;
    (found.start_wall_ms, found.start_cpu_ms) = start(dir.path())?;
    found.ready_ms = ready::measure(dir.path())?;
    Ok(found)
}

/// One series, a day of seconds, a mean a minute; series of all classes in turn.
fn query(db: &TelemetryDb) -> Result<(f64, f64)> {
    let reader = db.reader();
    let mut turn = 0;
    let (wall, cpu) = measure::medians(
        QUERIES,
        || Ok(measure::cpu()),
        || {
            let series = (turn * 7) % SERIES;
            turn += 1;
            let question = Query {
                where_: vec![("idx".to_owned(), series.to_string())],
                step: Some(Duration::from_mins(1)),
                agg: Agg::Avg,
                ..Query::raw(
                    name_of(class_of(series)),
                    Timestamp::from_secs(T0_S + TICKS_NEWEST as i64),
                    Timestamp::from_secs(T0_S + (TICKS_NEWEST + TICKS_DAY) as i64 - 1),
                )
            };
            let answer = reader.query(&question)?;
            let points = answer.first().map_or(0, |series| series.points.len());
            if points != TICKS_DAY / 60 {
                return Err(format!("{points} points instead of {}", TICKS_DAY / 60).into());
            }
            Ok(())
        },
    )?;
    Ok((wall.as_secs_f64() * 1e6, cpu.as_secs_f64() * 1e6))
}

/// Copies the day until there are thirty of them, and opens the store until it takes ticks again.
fn start(dir: &Path) -> Result<(f64, f64)> {
    let filled = Instant::now();
    let db = rusqlite::Connection::open(dir.join("telemetry.db"))?;
    let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0));
    let (first, last) = (one("SELECT min(id) FROM segment")?, one("SELECT max(id) FROM segment")?);
    let columns = db
        .prepare("SELECT * FROM segment LIMIT 0")?
        .column_names()
        .map(|name| match name {
            "id" => "id + ?1".to_owned(),
            "first_at" | "last_at" => format!("{name} + ?2"),
            "first_seq" | "last_seq" => format!("{name} + ?3"),
            other => other.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(", ");
    for day in 1..DAYS {
        let by = day * (last - first + 1);
        let transaction = db.unchecked_transaction()?;
        transaction.execute(
            &format!("INSERT INTO segment SELECT {columns} FROM segment WHERE id BETWEEN ?4 AND ?5"),
            rusqlite::params![by, day * 86_400 * 1_000_000_000, day * 86_400, first, last],
        )?;
        transaction.execute(
            "INSERT INTO page SELECT id + (?1 << 20), data FROM page WHERE id BETWEEN ?2 << 20 AND ((?3 + 1) << 20) - 1",
            rusqlite::params![by, first, last],
        )?;
        transaction.commit()?;
    }
    drop(db);
    eprintln!("{} days copied in {:.1} s: {} bytes", DAYS, filled.elapsed().as_secs_f64(), measure::bytes_below(dir));
    let (wall, cpu) = measure::medians(
        STARTS,
        || Ok(measure::cpu()),
        || {
            let db = open(dir)?;
            // Answered once the writer has read what it leans on.
            db.flush()?;
            db.close()?;
            Ok(())
        },
    )?;
    Ok((wall.as_secs_f64() * 1e3, cpu.as_secs_f64() * 1e3))
}
