//! A case as its author writes it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use holdfast_core::model::{Attributes, ByteSize, Interval, Severity, Timestamp, Value};
use holdfast_plugin_host::Settings;
use serde::Deserialize;

/// The moment at which a case plays that names none.
const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);
/// A case is a page or two.
const CASE_BYTES_MAX: u64 = 256 * 1024;

/// One case.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Case {
    /// What happened here, and why the answer is right.
    pub(super) story: String,
    /// The moment at which it plays.
    #[serde(default = "now")]
    pub(super) now: Timestamp,
    /// A grant, from the plugin's folder on; without one it gets everything that it asks for.
    pub(super) grant: Option<PathBuf>,
    /// Settings that differ from the manifest's or the grant's.
    #[serde(default)]
    pub(super) settings: Settings,
    /// The host before the first question.
    #[serde(default)]
    pub(super) world: Scene,
    /// What is asked, in order.
    pub(super) ask: Vec<Ask>,
}

fn now() -> Timestamp {
    NOW
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// Measure.
    Collect,
    /// Run the check.
    Check,
    /// Judge series.
    Detect,
    /// A plan for a finding.
    Propose,
    /// Did the plan of the question before help?
    Verify,
}

impl What {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Check => "check",
            Self::Detect => "detect",
            Self::Propose => "propose",
            Self::Verify => "verify",
        }
    }
}

/// One question, and the kind of answer that is right.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Ask {
    pub(super) what: What,
    /// What has changed on the host since the question before.
    #[serde(default)]
    pub(super) world: Scene,
    /// The finding to propose for; without one the first that the last check gave.
    pub(super) finding: Option<FindingGiven>,
    /// The kind of the answer.
    pub(super) answer: String,
    /// Texts that stand somewhere in the answer.
    #[serde(default)]
    pub(super) says: Vec<String>,
}

/// A finding as a detector would give it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FindingGiven {
    pub(super) kind: String,
    /// `unit:web.service`
    pub(super) target: String,
    pub(super) severity: Option<Severity>,
    pub(super) confidence: Option<f64>,
    #[serde(default)]
    pub(super) evidence: BTreeMap<String, Value>,
}

/// A host, or what changes on it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Scene {
    /// Paths that are not there any more, with all below.
    pub(super) remove: Vec<String>,
    pub(super) tree: Vec<TreeGiven>,
    pub(super) file: Vec<FileGiven>,
    pub(super) unit: Vec<UnitGiven>,
    pub(super) process: Vec<ProcessGiven>,
    pub(super) metric: Vec<MetricGiven>,
    pub(super) change: Vec<ChangeGiven>,
    /// What the plugin has kept from earlier runs.
    pub(super) state: BTreeMap<String, String>,
}

/// A folder beside the case that lies on the host.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct TreeGiven {
    /// From the case's folder on.
    pub(super) from: PathBuf,
    pub(super) to: String,
    /// Time since each of its files was modified.
    pub(super) age: Option<Interval>,
}

/// A file, a link or a directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct FileGiven {
    pub(super) path: String,
    pub(super) text: Option<String>,
    /// So many zero bytes, which take no room.
    pub(super) size: Option<ByteSize>,
    /// Where a symbolic link points.
    pub(super) link: Option<String>,
    #[serde(default)]
    pub(super) directory: bool,
    /// `"0644"`
    pub(super) mode: Option<String>,
    /// Time since it was modified.
    pub(super) age: Option<Interval>,
}

/// A unit as systemd describes it, in the words of the plugin interface.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct UnitGiven {
    pub(super) name: String,
    pub(super) load: String,
    pub(super) active: String,
    pub(super) sub: String,
    pub(super) unit_file: String,
    pub(super) result: String,
    pub(super) restarts: u32,
    pub(super) restart_policy: String,
    /// `"none"`: it was never started.
    pub(super) invocation_id: String,
    pub(super) main_pid: Option<u32>,
    /// Time since the last change of its state.
    pub(super) age: Option<Interval>,
    pub(super) fragment_path: Option<String>,
}

impl Default for UnitGiven {
    fn default() -> Self {
        let text = |text: &str| text.to_owned();
        Self {
            name: String::new(),
            load: text("loaded"),
            active: text("active"),
            sub: text("running"),
            unit_file: text("enabled"),
            result: text("success"),
            restarts: 0,
            restart_policy: text("no"),
            invocation_id: text("0abb971159134ba88081a826858153e6"),
            main_pid: None,
            age: None,
            fragment_path: None,
        }
    }
}

/// A process.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ProcessGiven {
    pub(super) pid: u32,
    pub(super) name: String,
    #[serde(default = "one")]
    pub(super) ppid: u32,
    #[serde(default)]
    pub(super) uid: u32,
    #[serde(default)]
    pub(super) cmdline: Vec<String>,
    pub(super) exe: Option<String>,
    #[serde(default)]
    pub(super) exe_deleted: bool,
    pub(super) rss: Option<ByteSize>,
    #[serde(default)]
    pub(super) cpu_seconds: f64,
    pub(super) unit: Option<String>,
    /// Time since it was started.
    pub(super) age: Option<Interval>,
}

fn one() -> u32 {
    1
}

/// A series.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MetricGiven {
    pub(super) name: String,
    #[serde(default)]
    pub(super) attributes: Attributes,
    /// Its value now.
    pub(super) value: Option<f64>,
    /// Earlier and other values.
    #[serde(default)]
    pub(super) points: Vec<PointGiven>,
}

/// One point of a series.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PointGiven {
    pub(super) age: Interval,
    pub(super) value: f64,
}

/// An entry of the change ledger.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct ChangeGiven {
    pub(super) kind: String,
    /// `service:shop`
    pub(super) target: String,
    pub(super) age: Option<Interval>,
    pub(super) actor: Option<String>,
    #[serde(default)]
    pub(super) summary: String,
    #[serde(default)]
    pub(super) attributes: Attributes,
    pub(super) deployment: Option<String>,
}

impl Case {
    /// Reads a case; the error names file, line and column, and what is wanted.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let show = file.display();
        let bytes = std::fs::metadata(file).map_err(|error| format!("{show}: {error}"))?.len();
        if bytes > CASE_BYTES_MAX {
            return Err(format!("{show}: {bytes} bytes; a case may have {CASE_BYTES_MAX}, and larger files beside it"));
        }
        let text = std::fs::read_to_string(file).map_err(|error| format!("{show}: {error}"))?;
        let case: Self = toml::from_str(&text).map_err(|error| format!("{show}: {}", error.to_string().trim_end()))?;
        if case.ask.is_empty() {
            return Err(format!(
                "{show}: it asks nothing; write [[ask]] with what = \"check\", \"propose\", \"verify\", \"collect\" or \"detect\""
            ));
        }
        for ask in &case.ask {
            let known: &[&str] = match ask.what {
                What::Collect => &["measured", "nothing", "unable", "refused"],
                What::Check | What::Detect => &["clean", "found", "unable", "refused"],
                What::Propose => &["plan", "nothing", "unable", "refused"],
                What::Verify => &["healed", "not-healed", "unsure", "unable", "refused"],
            };
            if !known.contains(&ask.answer.as_str()) {
                let (what, given, known) = (ask.what.as_str(), &ask.answer, known.join(", "));
                return Err(format!("{show}: `{given}` is no answer to `{what}`; write one of {known}"));
            }
        }
        Ok(case)
    }
}
