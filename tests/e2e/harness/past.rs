//! A past that a scenario has not the time for: what the agent recorded of this very machine, drawn again and again, in its own store.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast::store::{Query, SeriesFilter, TelemetryDb, TelemetryOptions};
use holdfast_core::model::{MetricKind, SampleBatch, SeriesKey, Timestamp};

use super::machine::Machine;

const DATA: &str = "/var/lib/holdfast";
const FILE: &str = "telemetry.db";
/// As often as units are read.
const STEP: Duration = Duration::from_secs(10);
/// Batches between two acknowledgements.
const FLUSH_EVERY: usize = 200;

/// One series with the values it had, or, of a counter, by how much it rose in a step.
struct Recorded {
    key: SeriesKey,
    values: Vec<f64>,
}

fn now() -> Result<Timestamp> {
    Ok(Timestamp::from_ns(i64::try_from(holdfast_tests::unix_ns())?))
}

/// What a counter rises by in a step, from one reading to the next; what a gauge is.
fn drawn(kind: MetricKind, points: &[(Timestamp, f64)]) -> Vec<f64> {
    if kind == MetricKind::Gauge {
        return points.iter().map(|(_, value)| *value).collect();
    }
    let rise = |pair: &[(Timestamp, f64)]| match pair {
        [(from, before), (to, after)] if to > from && after >= before => {
            Some((after - before) / to.since(*from).as_secs_f64() * STEP.as_secs_f64())
        }
        _ => None,
    };
    points.windows(2).filter_map(rise).collect()
}

fn recorded(dir: &Path, until: Timestamp) -> Result<Vec<Recorded>> {
    let db = TelemetryDb::open(dir, TelemetryOptions { opened_at: until, ..TelemetryOptions::default() })?;
    let reader = db.reader();
    let known = reader.list_series(&SeriesFilter::default());
    let metrics: BTreeSet<&str> = known.iter().map(|(_, key)| key.metric.as_str()).collect();
    let mut all = Vec::new();
    for metric in metrics {
        for series in reader.query(&Query::raw(metric, until.minus(Duration::from_hours(1)), until))? {
            let values = drawn(series.key.kind, &series.points);
            if !values.is_empty() {
                all.push(Recorded { key: series.key.as_ref().clone(), values });
            }
        }
    }
    Ok(all)
}

impl Machine {
    /// Gives the agent, which has been stopped, hours of what it has seen so far. Answers how many series.
    pub(crate) fn grow_past(&self, hours: u64) -> Result<usize> {
        let dir = self.path(DATA);
        let file = dir.join(FILE);
        let owner = std::fs::metadata(&file).with_context(|| format!("no {}", file.display()))?;
        let until = now()?;
        let all = recorded(&dir, until)?;
        ensure!(!all.is_empty(), "nothing was recorded");
        for name in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm")] {
            let _ = std::fs::remove_file(dir.join(name));
        }
        let steps = (hours * 3_600 / STEP.as_secs()) as usize;
        let begin = until.minus(STEP.saturating_mul(u32::try_from(steps)?));
        let db = TelemetryDb::open(&dir, TelemetryOptions { opened_at: begin, ..TelemetryOptions::default() })?;
        let ids: Vec<_> = all.iter().map(|it| db.registry().intern(&it.key).0).collect();
        let (mut state, mut sums) = (0x9e37_79b9_u64, BTreeMap::new());
        for step in 0..steps {
            let samples = all.iter().zip(&ids).map(|(it, id)| {
                // Knuth's linear congruential generator; its high bits.
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let value = it.values[(state >> 33) as usize % it.values.len()];
                if it.key.kind == MetricKind::Gauge {
                    return (*id, value);
                }
                let sum = sums.entry(*id).or_insert(0.0);
                *sum += value;
                (*id, *sum)
            });
            let samples = samples.collect();
            let at = begin.plus(STEP.saturating_mul(u32::try_from(step)?));
            db.write_batch(Arc::new(SampleBatch { at, new_series: vec![], samples }));
            if step % FLUSH_EVERY == 0 {
                db.flush()?;
            }
        }
        db.close()?;
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(FILE)) {
                chown(&path, Some(owner.uid()), Some(owner.gid()))?;
            }
        }
        Ok(all.len())
    }
}
