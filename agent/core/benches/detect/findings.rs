//! What a person is told: the findings that the agent's detectors open on the labelled series, by the whole code that the agent runs.
//!
//! A finding opened outside every window is false; a window in which one is opened is noticed. A series of a host is one series, and a
//! window of the host is noticed by any of them.

use holdfast_core::detect::labels::Labels;
use holdfast_core::detect::replay::Replay;
use holdfast_core::detect::{DetectConfig, Watch};
use holdfast_core::model::{Attributes, MetricKind, SeriesKey, Timestamp};
use holdfast_core::stats::robust::median;

use crate::corpus::File;

const KINDS: [&str; 2] = ["metric.anomaly", "metric.spread"];

/// A finding, by the row in which it was opened.
pub(crate) struct Finding {
    pub(crate) row: usize,
    pub(crate) confidence: f64,
    /// It is about how much a series varies, not about its level.
    pub(crate) of_spread: bool,
}

/// Of one suite.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) opened: usize,
    pub(crate) wrong: usize,
    /// Outside the windows, each series by itself.
    pub(crate) days: f64,
    pub(crate) windows: usize,
    pub(crate) noticed: usize,
    pub(crate) delay_s: f64,
    /// Of those that were opened, changes of spread, and those of them that are wrong.
    pub(crate) of_spread: (usize, usize),
}

impl Told {
    pub(crate) fn false_per_day(&self) -> f64 {
        self.wrong as f64 / self.days
    }

    pub(crate) fn recall(&self) -> f64 {
        self.noticed as f64 / self.windows as f64
    }
}

/// All findings about the file's series under the default settings.
pub(crate) fn of(file: &File) -> Vec<Finding> {
    let columns = file.rows.first().map_or(0, Vec::len);
    // The metrics of hosts are shares, as their authors have scaled them; of the others nobody says what they measure.
    let unit = if columns > 1 { "1" } else { "" };
    let key = |column: usize| SeriesKey {
        metric: format!("series.{column}"),
        unit: unit.to_owned(),
        kind: MetricKind::Gauge,
        attributes: Attributes::new(),
    };
    let keys: Vec<SeriesKey> = (0..columns).map(key).collect();
    let watch = keys.iter().map(|it| Watch { metric: it.metric.clone(), where_: Attributes::new() }).collect();
    let config = DetectConfig { watch, ..DetectConfig::default() };
    let mut replay = Replay::new(&config, &Labels::default());
    let (mut found, mut known) = (Vec::new(), 0);
    for (row, (at_s, values)) in file.at_s.iter().zip(&file.rows).enumerate() {
        replay.tell(Timestamp::from_secs(*at_s), keys.iter().zip(values.iter().copied()));
        let new = replay.stretches().iter().skip(known).filter(|it| KINDS.contains(&it.kind.as_str()));
        found.extend(new.map(|it| Finding { row, confidence: it.confidence.get(), of_spread: it.kind == KINDS[1] }));
        known = replay.stretches().len();
    }
    found
}

pub(crate) fn told(files: &[(&File, &[Finding])]) -> Told {
    let mut told = Told::default();
    let mut delays = Vec::new();
    for (file, found) in files {
        let columns = file.rows.first().map_or(0, Vec::len) as f64;
        let outside = (file.skip..file.rows.len()).filter(|row| !inside(file, *row)).count();
        told.days += outside as f64 * columns * file.period_s / 86_400.0;
        let found: Vec<&Finding> = found.iter().filter(|it| it.row >= file.skip).collect();
        told.opened += found.len();
        told.wrong += found.iter().filter(|it| !inside(file, it.row)).count();
        let of_spread = found.iter().filter(|it| it.of_spread);
        told.of_spread.0 += of_spread.clone().count();
        told.of_spread.1 += of_spread.filter(|it| !inside(file, it.row)).count();
        for &(from, to) in file.windows.iter().filter(|it| it.1 >= file.skip) {
            told.windows += 1;
            if let Some(first) = found.iter().find(|it| (from..=to).contains(&it.row)) {
                told.noticed += 1;
                delays.push((file.at_s[first.row] - file.at_s[from]) as f64);
            }
        }
    }
    told.delay_s = median(&mut delays).unwrap_or(f64::NAN);
    told
}

fn inside(file: &File, row: usize) -> bool {
    file.windows.iter().any(|&(from, to)| from <= row && row <= to)
}

const BINS: usize = 10;

/// Findings whose confidence lies in the same tenth.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub(crate) struct Bin {
    pub(crate) findings: usize,
    /// Opened inside a window.
    pub(crate) inside: usize,
    /// Sum of what was claimed.
    pub(crate) claimed: f64,
}

/// For each tenth of confidence.
pub(crate) fn reliability(files: &[(&File, &[Finding])]) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for (file, found) in files {
        for it in found.iter().filter(|it| it.row >= file.skip && !it.of_spread) {
            let bin = &mut bins[((it.confidence * BINS as f64) as usize).min(BINS - 1)];
            bin.findings += 1;
            bin.inside += usize::from(inside(file, it.row));
            bin.claimed += it.confidence;
        }
    }
    bins
}

pub(crate) fn print_reliability(files: &[(&File, &[Finding])]) {
    println!("   confidence  findings  claimed  in a window");
    for (number, bin) in reliability(files).iter().enumerate().filter(|(_, it)| it.findings > 0) {
        let low = number as f64 / BINS as f64;
        let part = |it: f64| 100.0 * it / bin.findings as f64;
        let (claimed, inside) = (part(bin.claimed), part(bin.inside as f64));
        println!("   {low:.1}-{:.1}     {:8}  {claimed:5.1} %  {inside:5.1} %", low + 0.1, bin.findings);
    }
}
