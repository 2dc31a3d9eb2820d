//! `data quality`: every series of a window judged by what it does itself, and the clock by the machine's uptime.

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};
use holdfast_core::model::{Attributes, SeriesKey, Timestamp};
use holdfast_core::quality::{ClockJump, SeriesQuality, clock_jumps, judge};
use serde::{Deserialize, Serialize};

use crate::store::{Query, SeriesFilter, StoreError, TelemetryReader};

/// Brought by every collection.
const UPTIME: &str = "system.uptime";
/// Series that one report looks at.
const SERIES_MAX: usize = 5_000;
/// Metrics in the list of those with most series.
const CARDINALITY_MAX: usize = 10;

/// What every series of some metrics has to say about itself: `[[data.required]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Required {
    /// A glob of metric names: "app.*".
    pub metric: String,
    /// Attribute names: "service.name".
    pub attributes: Vec<String>,
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct QualityOptions {
    /// From here on.
    pub since: Timestamp,
    /// Now.
    pub until: Timestamp,
    /// Only this metric; a `*` at the end stands for any rest.
    pub metric: Option<String>,
    /// Good series too.
    pub all: bool,
    /// Attributes that have to be there.
    pub required: Vec<Required>,
}

/// One series and how good it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesReport {
    /// The metric.
    pub metric: String,
    /// What distinguishes it.
    pub attributes: Attributes,
    /// See [`SeriesQuality`].
    #[serde(flatten)]
    pub quality: SeriesQuality,
}

/// How many series a metric has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cardinality {
    /// The metric.
    pub metric: String,
    /// Its series, silent ones included.
    pub series: usize,
}

/// A series without an attribute that it should have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// The metric.
    pub metric: String,
    /// What it has.
    pub attributes: Attributes,
    /// What it lacks.
    pub lacks: Vec<String>,
}

/// The whole report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// From here on.
    pub since: Timestamp,
    /// Up to here.
    pub until: Timestamp,
    /// Series with samples within the window.
    pub series: usize,
    /// Those with nothing to say about.
    pub good: usize,
    /// More series than one report looks at: the rest was left out.
    pub truncated: bool,
    /// The others, or all of them when asked; by metric and attributes.
    pub reports: Vec<SeriesReport>,
    /// The wall clock was set.
    pub clock_jumps: Vec<ClockJump>,
    /// Metrics with most series.
    pub cardinality: Vec<Cardinality>,
    /// Series that lack attributes.
    pub lacking: Vec<Lacking>,
}

/// Looks through the store; reads every sample of the window.
pub fn quality(telemetry: &TelemetryReader, options: &QualityOptions) -> Result<Quality, StoreError> {
    let filter = SeriesFilter { metric: options.metric.clone(), where_: Vec::new() };
    let mut known = telemetry.list_series(&filter);
    let truncated = known.len() > SERIES_MAX;
    known.truncate(SERIES_MAX);
    let mut per_metric: BTreeMap<String, usize> = BTreeMap::new();
    for (_, key) in &known {
        *per_metric.entry(key.metric.clone()).or_default() += 1;
    }
    let (mut reports, mut series) = (Vec::new(), 0);
    for metric in per_metric.keys() {
        let query = Query { limit: usize::MAX, ..Query::raw(metric, options.since, options.until) };
        for found in telemetry.query(&query)? {
            series += 1;
            let quality = judge(&found.points, found.key.kind, options.until);
            let (metric, attributes) = (found.key.metric.clone(), found.key.attributes.clone());
            reports.push(SeriesReport { metric, attributes, quality });
        }
    }
    let good = reports.iter().filter(|it| it.quality.is_good()).count();
    if !options.all {
        reports.retain(|it| !it.quality.is_good());
    }
    reports.sort_by(|a, b| (&a.metric, &a.attributes).cmp(&(&b.metric, &b.attributes)));
    let uptime = telemetry.query(&Query { limit: usize::MAX, ..Query::raw(UPTIME, options.since, options.until) })?;
    let clock_jumps = uptime.first().map(|series| clock_jumps(&series.points)).unwrap_or_default();
    let mut cardinality: Vec<Cardinality> =
        per_metric.into_iter().map(|(metric, series)| Cardinality { metric, series }).collect();
    cardinality.sort_by(|a, b| b.series.cmp(&a.series).then_with(|| a.metric.cmp(&b.metric)));
    cardinality.truncate(CARDINALITY_MAX);
    let lacking = lacking(known.iter().map(|(_, key)| key.as_ref()), &options.required);
    let (since, until) = (options.since, options.until);
    Ok(Quality { since, until, series, good, truncated, reports, clock_jumps, cardinality, lacking })
}

fn lacking<'k>(keys: impl Iterator<Item = &'k SeriesKey>, required: &[Required]) -> Vec<Lacking> {
    let rules: Vec<(GlobMatcher, &[String])> = required
        .iter()
        .filter_map(|rule| Some((Glob::new(&rule.metric).ok()?.compile_matcher(), rule.attributes.as_slice())))
        .collect();
    let mut found = Vec::new();
    for key in keys {
        let wanted = rules.iter().filter(|(glob, _)| glob.is_match(&key.metric)).flat_map(|(_, names)| names.iter());
        let mut lacks: Vec<String> = wanted.filter(|name| !key.attributes.contains_key(*name)).cloned().collect();
        lacks.sort();
        lacks.dedup();
        if !lacks.is_empty() {
            found.push(Lacking { metric: key.metric.clone(), attributes: key.attributes.clone(), lacks });
        }
    }
    found.sort_by(|a, b| (&a.metric, &a.attributes).cmp(&(&b.metric, &b.attributes)));
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdfast_core::model::{MetricKind, SampleBatch};

    use super::*;
    use crate::store::{TelemetryDb, TelemetryOptions};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + second)
    }

    fn key(metric: &str, attributes: &[(&str, &str)]) -> SeriesKey {
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        SeriesKey { metric: metric.to_owned(), unit: "1".to_owned(), kind: MetricKind::Gauge, attributes }
    }

    #[test]
    fn a_stopped_source_a_set_clock_and_a_missing_attribute_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let db =
            TelemetryDb::open(dir.path(), TelemetryOptions { opened_at: at(0), seal_ticks: 20, ..Default::default() })
                .unwrap();
        let (steady, _) = db.registry().intern(&key("app.steady", &[("service.name", "shop")]));
        let (ended, _) = db.registry().intern(&key("app.ended", &[]));
        let (uptime, _) = db.registry().intern(&key(UPTIME, &[]));
        for second in 0..120_i64 {
            // At 100 somebody sets the clock forwards by ten seconds.
            let wall = at(if second < 100 { second } else { second + 10 });
            let mut samples = vec![(steady, (second * 7 % 11) as f64), (uptime, 50.0 + second as f64)];
            if second < 60 {
                samples.push((ended, second as f64));
            }
            db.write_batch(Arc::new(SampleBatch { at: wall, new_series: vec![], samples }));
        }
        db.flush().unwrap();
        let required = vec![Required { metric: "app.*".to_owned(), attributes: vec!["service.name".to_owned()] }];
        let options = QualityOptions { since: at(0), until: at(130), metric: None, all: false, required };
        let report = quality(&db.reader(), &options).unwrap();
        assert_eq!((report.series, report.clock_jumps.len()), (3, 1), "{report:?}");
        assert_eq!(report.clock_jumps[0].by_s, 10.0);
        let stale: Vec<&str> =
            report.reports.iter().filter(|it| it.quality.stale_since.is_some()).map(|it| it.metric.as_str()).collect();
        assert_eq!(stale, ["app.ended"]);
        let lacking: Vec<(&str, &[String])> =
            report.lacking.iter().map(|it| (it.metric.as_str(), it.lacks.as_slice())).collect();
        assert_eq!(lacking, [("app.ended", &["service.name".to_owned()][..])]);
        let steady = report.reports.iter().find(|it| it.metric == "app.steady").unwrap();
        assert_eq!((steady.quality.gaps, steady.quality.stuck_since), (1, None), "the jump is a gap of the labels");
    }
}
