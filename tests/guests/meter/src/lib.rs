//! A collector: the sizes of files, and how many of them there are. Its settings can have it send what no collector should.

use holdfast_plugin_sdk::{Collector, Context, Error, Plugin, Samples, export, host};
use serde::Deserialize;

/// `[settings]` of plugin.toml.
#[derive(Debug, Deserialize)]
pub struct Settings {
    /// Absolute paths.
    pub files: Vec<String>,
    /// What it gets wrong; empty: nothing.
    pub wrong: String,
}

/// See the module.
pub struct Meter(Settings);

impl Plugin for Meter {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        Ok(Self(settings))
    }
}

impl Collector for Meter {
    fn collect(&self, samples: &mut Samples) -> Result<(), Error> {
        for file in &self.0.files {
            if let Some(found) = host::files::stat(file)? {
                samples.gauge("app.file.size", "By", found.size as f64).label("file.path", file);
            }
        }
        samples.delta("app.looks", "{look}", 1.0);
        match self.0.wrong.as_str() {
            "name" => {
                samples.gauge("system.cpu.utilization", "1", 0.0);
            }
            "value" => {
                samples.gauge("app.share", "1", f64::NAN);
            }
            "twice" => {
                samples.delta("app.looks", "{look}", 1.0);
            }
            "many" => {
                for number in 0..2_000 {
                    samples.gauge("app.many", "1", 0.0).label("number", &number.to_string());
                }
            }
            "late" => {
                samples.gauge("app.late", "1", 1.0).at(1);
            }
            "label" => {
                samples.gauge("app.label", "1", 1.0).label("holdfast.plugin.id", "other");
            }
            "fail" => return Err(Error::Other("it cannot be measured".to_owned())),
            _ => {}
        }
        Ok(())
    }
}

export!(Meter: Collector);
