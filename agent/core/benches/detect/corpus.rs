//! Labelled series below one directory: `labels.json`, and for each key `KEY.gz` or `KEY`, a CSV of a timestamp and values.

use std::collections::BTreeMap;
use std::fs::File as OsFile;
use std::io::Read;
use std::path::Path;

use jiff::civil::DateTime;
use serde::Deserialize;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Deserialize)]
struct Label {
    suite: String,
    stratum: String,
    period_s: f64,
    windows: Vec<(String, String)>,
    scored_from: Option<String>,
    #[serde(default)]
    interpretation: Vec<Interpretation>,
}

#[derive(Deserialize)]
struct Interpretation {
    metrics: Vec<String>,
}

/// One file with its labels.
pub(crate) struct File {
    pub(crate) key: String,
    pub(crate) suite: String,
    pub(crate) stratum: String,
    pub(crate) period_s: f64,
    /// Rows that aren't scored.
    pub(crate) skip: usize,
    /// First and last row of each.
    pub(crate) windows: Vec<(usize, usize)>,
    /// For each window, the columns at fault; empty where nobody says.
    pub(crate) at_fault: Vec<Vec<usize>>,
    pub(crate) stamps: Vec<String>,
    pub(crate) at_s: Vec<i64>,
    pub(crate) rows: Vec<Vec<f64>>,
}

/// All files of the suites that are known here.
pub(crate) fn load(dir: &Path) -> Result<Vec<File>> {
    let labels: BTreeMap<String, Label> = serde_json::from_reader(OsFile::open(dir.join("labels.json"))?)?;
    labels.into_iter().map(|(key, label)| read(dir, key, label)).collect()
}

fn read(dir: &Path, key: String, label: Label) -> Result<File> {
    let mut text = String::new();
    let packed = dir.join(format!("{key}.gz"));
    if packed.exists() {
        flate2::read::GzDecoder::new(OsFile::open(packed)?).read_to_string(&mut text)?;
    } else {
        OsFile::open(dir.join(&key))?.read_to_string(&mut text)?;
    }
    let (mut stamps, mut at_s, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').skip(1).collect();
    for line in lines {
        let (stamp, values) = line.split_once(',').ok_or_else(|| format!("{key}: a line without a comma"))?;
        at_s.push(seconds(stamp)?);
        stamps.push(stamp.to_owned());
        rows.push(values.split(',').map(|it| it.trim().parse().unwrap_or(f64::NAN)).collect());
    }
    let mut windows = Vec::new();
    for (from, to) in &label.windows {
        let (from, to) = (seconds(from)?, seconds(to)?);
        let Some(begin) = at_s.iter().position(|it| *it >= from) else { continue };
        // A clock that was set back shows times twice: the first row with the last time ends the window.
        let exact = at_s[begin..].iter().position(|it| *it == to);
        if let Some(end) = exact.or_else(|| at_s[begin..].iter().rposition(|it| *it <= to)) {
            windows.push((begin, begin + end));
        }
    }
    let skip = match &label.scored_from {
        Some(from) => {
            let from = seconds(from)?;
            at_s.iter().position(|it| *it >= from).unwrap_or_default()
        }
        None => (rows.len() * 15 / 100).min(750),
    };
    let column = |name: &String| head.iter().position(|it| it == name);
    let at_fault = label.interpretation.iter().map(|it| it.metrics.iter().filter_map(column).collect()).collect();
    let (suite, stratum, period_s) = (label.suite, label.stratum, label.period_s);
    Ok(File { key, suite, stratum, period_s, skip, windows, at_fault, stamps, at_s, rows })
}

fn seconds(stamp: &str) -> Result<i64> {
    let civil: DateTime = stamp.get(..19).unwrap_or(stamp).replace(' ', "T").parse()?;
    Ok(jiff::tz::TimeZone::UTC.to_timestamp(civil)?.as_second())
}
