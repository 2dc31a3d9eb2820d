//! A detector: series whose newest value is above a limit. Its settings can have it answer what no detector should.

use holdfast_plugin_sdk::host::metrics::{self, Series};
use holdfast_plugin_sdk::{Anomaly, Context, Detector, Error, Plugin, evidence, export, host, subject};
use serde::Deserialize;

/// `[settings]` of plugin.toml.
#[derive(Debug, Deserialize)]
pub struct Settings {
    /// The limit.
    pub most: f64,
    /// What it gets wrong; empty: nothing.
    pub wrong: String,
}

/// See the module.
pub struct Judge(Settings);

impl Plugin for Judge {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        Ok(Self(settings))
    }
}

impl Detector for Judge {
    fn detect(&self, window: &[Series]) -> Result<Vec<Anomaly>, Error> {
        let mut found: Vec<Anomaly> = window.iter().filter_map(|series| self.above(series)).collect();
        match self.0.wrong.as_str() {
            "score" => found = found.into_iter().map(|it| it.score(f64::INFINITY)).collect(),
            "range" => found = found.into_iter().map(|it| it.expected(2.0, 1.0)).collect(),
            "future" => found = found.into_iter().map(|it| it.since(host::clock::now_ns() + 1_000_000_000)).collect(),
            "twice" => found.extend(found.clone()),
            "fail" => return Err(Error::Other("it cannot be judged".to_owned())),
            _ => {}
        }
        Ok(found)
    }
}

impl Judge {
    fn above(&self, series: &Series) -> Option<Anomaly> {
        let newest = metrics::newest(series).filter(|newest| *newest > self.0.most)?;
        let path = metrics::attribute(series, "file.path")?;
        let anomaly = Anomaly::new("large", subject("file", path), &format!("{path} has {newest} bytes"));
        Some(
            anomaly
                .score(newest / self.0.most)
                .expected(0.0, self.0.most)
                .evidence(evidence("points", series.points.len() as u64)),
        )
    }
}

export!(Judge: Detector);
