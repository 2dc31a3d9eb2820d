//! `[detect]` of the configuration. The defaults are what a fresh host needs: quiet when the host is quiet.

use serde::{Deserialize, Serialize};

use crate::model::{Attributes, ByteSize, Interval, Ratio, SeriesKey, Severity, has_all};

/// What is watched, and how closely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DetectConfig {
    /// Compare series with their own past. Default: true.
    pub anomalies: bool,
    /// Say it, too, when a series varies clearly more or less than it used to, at the same level. Default: true.
    pub spread: bool,
    /// Time that a series is watched before anything is said about it. Default: "10m".
    pub warm_up: Interval,
    /// How far a series may depart from its past. Default: "medium".
    pub sensitivity: Sensitivity,
    /// Time that a departure must last before it is reported. Default: "30s".
    pub sustained: Interval,
    /// Time after which a departure that stays is taken as the new normal. Default: "1h".
    pub adopt_after: Interval,
    /// Series compared with their past in addition to the standard ones (utilisations, pressure, load, disk time, error
    /// ratio and latency of applications). Default: none.
    pub watch: Vec<Watch>,
    /// Settings of single series, over those of all. Of several that fit, the last counts. Default: none.
    pub series: Vec<SeriesSettings>,
    /// Limits of your own. One with the name of a standard limit replaces it. Default: none.
    pub threshold: Vec<Threshold>,
    /// Use the standard limits on memory, swap and CPU. Default: true.
    pub standard_thresholds: bool,
    /// Space on file systems.
    pub disk: DiskConfig,
    /// What is wrong with the telemetry itself.
    pub telemetry: TelemetryConfig,
    /// Inodes, open files, tracked connections, threads and memory.
    pub exhaustion: ExhaustionConfig,
    /// Objectives of services, whose error budgets are watched. Default: none.
    pub slo: Vec<Objective>,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            anomalies: true,
            spread: true,
            warm_up: Interval::secs(600),
            sensitivity: Sensitivity::Medium,
            sustained: Interval::secs(30),
            adopt_after: Interval::secs(3600),
            watch: Vec::new(),
            series: Vec::new(),
            threshold: Vec::new(),
            standard_thresholds: true,
            disk: DiskConfig::default(),
            telemetry: TelemetryConfig::default(),
            exhaustion: ExhaustionConfig::default(),
            slo: Vec::new(),
        }
    }
}

/// How far a series may depart from its past before that counts, in robust standard deviations of its past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    /// 9: only what nobody could miss.
    Low,
    /// 6.
    Medium,
    /// 4: expect reports of things that are no trouble.
    High,
}

impl Sensitivity {
    /// The word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The next one that reports less.
    #[must_use]
    pub fn lower(self) -> Self {
        match self {
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
        }
    }

    /// The number of robust standard deviations.
    pub fn deviations(self) -> f64 {
        match self {
            Self::Low => 9.0,
            Self::Medium => 6.0,
            Self::High => 4.0,
        }
    }
}

/// Series by metric name and attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// `system.network.io`
    pub metric: String,
    /// Attributes that the series must have; others may be anything. Default: none.
    #[serde(rename = "where", default, skip_serializing_if = "Attributes::is_empty")]
    pub where_: Attributes,
}

/// How closely single series are compared with their past.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SeriesSettings {
    /// `system.disk.io_time`
    pub metric: String,
    /// Attributes that the series must have; others may be anything. Default: none.
    #[serde(rename = "where", default, skip_serializing_if = "Attributes::is_empty")]
    pub where_: Attributes,
    /// In place of the `sensitivity` of all. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// In place of the `sustained` of all. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sustained: Option<Interval>,
}

/// A limit on a series that must be passed for a while before it is reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Threshold {
    /// Short and unique: `memory-short`. Tells findings on one series apart.
    pub name: String,
    /// Metric whose series are held to the limit. Counters are compared as rates for each second.
    pub metric: String,
    /// Attributes that the series must have; others may be anything. Default: none.
    #[serde(rename = "where", default, skip_serializing_if = "Attributes::is_empty")]
    pub where_: Attributes,
    /// Metric to divide by first, with the same attributes or fewer: `system.memory.limit`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// More than this is too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// Less than this is too little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// How long without a break. Default: "1m".
    #[serde(default = "Threshold::default_sustained")]
    pub sustained: Interval,
    /// How bad that is. Default: "medium".
    #[serde(default = "Threshold::default_severity")]
    pub severity: Severity,
}

impl Threshold {
    fn default_sustained() -> Interval {
        Interval::secs(60)
    }

    fn default_severity() -> Severity {
        Severity::Medium
    }

    fn standard() -> Vec<Self> {
        let base = |name: &str, metric: &str| Self {
            name: name.to_owned(),
            metric: metric.to_owned(),
            where_: Attributes::new(),
            of: None,
            above: None,
            below: None,
            sustained: Self::default_sustained(),
            severity: Self::default_severity(),
        };
        let used = |key: &str| Attributes::from([(key.to_owned(), "used".to_owned())]);
        vec![
            Self {
                of: Some("system.memory.limit".to_owned()),
                below: Some(0.05),
                severity: Severity::High,
                ..base("memory-short", "system.memory.linux.available")
            },
            Self {
                where_: used("system.paging.state"),
                above: Some(0.9),
                sustained: Interval::secs(300),
                ..base("swap-full", "system.paging.utilization")
            },
            Self { above: Some(0.95), sustained: Interval::secs(600), ..base("cpu-busy", "holdfast.cpu.utilization") },
        ]
    }
}

/// Space on file systems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DiskConfig {
    /// Used share from which a file system counts as full, when `full-free-below` holds too. Default: "95%".
    pub full_above: Ratio,
    /// Free bytes below which it counts as full, when `full-above` holds too: a big disk at 95 % has room. Default: "2GiB".
    pub full_free_below: ByteSize,
    /// Report a file system that will be full within this time. No trend is drawn out to more than four times the time that it
    /// was seen for, so a burst of a minute says nothing about tomorrow. Default: "24h".
    pub horizon: Interval,
    /// Mount points that are not judged. Default: none.
    pub ignore: Vec<String>,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            full_above: Ratio(0.95),
            full_free_below: ByteSize(2 << 30),
            horizon: Interval::secs(24 * 3600),
            ignore: Vec::new(),
        }
    }
}

/// What is wrong with the telemetry itself: sources that fall silent, values that are stuck, a clock that was set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TelemetryConfig {
    /// Report it. Default: true.
    pub report: bool,
    /// An application (`service.name`) or target that gives nothing for so long, and for ten of its own steps, is silent. Default: "3m".
    pub silent_after: Interval,
    /// An application that tells of itself is missed after it has done so for this time; a target that is scraped is missed from
    /// the beginning. Default: "1h".
    pub known_after: Interval,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { report: true, silent_after: Interval::secs(180), known_after: Interval::secs(3600) }
    }
}

/// What the host has only so much of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExhaustionConfig {
    /// Report what will run out within this time. Default: "6h".
    pub horizon: Interval,
    /// `inodes` of any file system, `open files`, `tracked connections`, `threads`, `memory`. Default: none.
    pub ignore: Vec<String>,
}

impl Default for ExhaustionConfig {
    fn default() -> Self {
        Self { horizon: Interval::secs(6 * 3600), ignore: Vec::new() }
    }
}

impl ExhaustionConfig {
    /// Whether a resource is not judged; those of file systems by their first word, too.
    pub fn ignores(&self, name: &str) -> bool {
        self.ignore.iter().any(|it| it == name || (it == "inodes" && name.starts_with("inodes of ")))
    }
}

/// How many of its events have to go well. Exactly one of `errors`, `good` and `error-ratio` says which do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Objective {
    /// Short and unique: `checkout`.
    pub name: String,
    /// The share that has to go well: "99.9%".
    pub objective: Ratio,
    /// The time that the objective is promised for. Default: "30d".
    #[serde(default = "Objective::default_window")]
    pub window: Interval,
    /// All events: counters, or gauges of events a second. All series that fit are added up.
    pub total: Part,
    /// Those that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<Part>,
    /// Those that went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<Part>,
    /// The share of them that failed, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_ratio: Option<Part>,
}

/// Series of an objective.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// `holdfast.app.requests`
    pub metric: String,
    /// Attributes that the series must have; others may be anything. Default: none.
    #[serde(rename = "where", default, skip_serializing_if = "Attributes::is_empty")]
    pub where_: Attributes,
}

/// Objectives that are watched at once.
const SLOS_MAX: usize = 64;

impl Objective {
    fn default_window() -> Interval {
        Interval::secs(30 * 86_400)
    }

    fn problems(&self, at: usize) -> Vec<String> {
        let name = &self.name;
        let mut problems = Vec::new();
        if name.is_empty() {
            problems.push(format!("slo number {} has no name", at + 1));
        }
        if !(self.objective.0 > 0.0 && self.objective.0 < 1.0) {
            problems.push(format!("slo `{name}` leaves no error budget: the objective lies between 0% and 100%"));
        }
        if self.window.0.as_secs() < 3_600 {
            problems.push(format!("slo `{name}` has a window of less than an hour"));
        }
        let given = [&self.errors, &self.good, &self.error_ratio].into_iter().filter(|it| it.is_some()).count();
        if given != 1 {
            problems.push(format!("slo `{name}` needs exactly one of `errors`, `good` and `error-ratio`"));
        }
        problems
    }
}

impl DetectConfig {
    /// The limits in force: one's own, and the standard ones whose name isn't taken.
    pub fn thresholds(&self) -> Vec<Threshold> {
        let mut all = self.threshold.clone();
        if self.standard_thresholds {
            let standard = Threshold::standard().into_iter();
            all.extend(standard.filter(|it| self.threshold.iter().all(|own| own.name != it.name)));
        }
        all
    }

    /// How far a series may depart from its past, in robust standard deviations, and how long before it is reported.
    pub fn of_series(&self, key: &SeriesKey) -> (f64, Interval) {
        let fits = |it: &&SeriesSettings| it.metric == key.metric && has_all(&key.attributes, &it.where_);
        let own: Vec<&SeriesSettings> = self.series.iter().filter(fits).collect();
        let sensitivity = own.iter().rev().find_map(|it| it.sensitivity).unwrap_or(self.sensitivity);
        let sustained = own.iter().rev().find_map(|it| it.sustained).unwrap_or(self.sustained);
        (sensitivity.deviations(), sustained)
    }

    /// What can't be meant as written; each a sentence that names the entry.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (at, it) in self.threshold.iter().enumerate() {
            let name = &it.name;
            if name.is_empty() {
                problems.push(format!("threshold number {} has no name", at + 1));
            }
            if self.threshold[..at].iter().any(|other| other.name == *name) {
                problems.push(format!("two thresholds are named `{name}`"));
            }
            match (it.above, it.below) {
                (None, None) => problems.push(format!("threshold `{name}` states neither `above` nor `below`")),
                (Some(above), Some(below)) if above < below => {
                    problems.push(format!("threshold `{name}` allows no value: above {above}, below {below}"));
                }
                _ => {}
            }
            if it.above.into_iter().chain(it.below).any(|limit| !limit.is_finite()) {
                problems.push(format!("threshold `{name}` has a limit that is not a finite number"));
            }
        }
        if self.telemetry.silent_after.0 < std::time::Duration::from_secs(10) {
            problems.push("telemetry.silent-after must be 10s or longer".to_owned());
        }
        for (at, it) in self.slo.iter().enumerate() {
            problems.extend(it.problems(at));
            if self.slo[..at].iter().any(|other| other.name == it.name) {
                problems.push(format!("two slos are named `{}`", it.name));
            }
        }
        if self.slo.len() > SLOS_MAX {
            problems.push(format!("at most {SLOS_MAX} slos are watched"));
        }
        if self.exhaustion.horizon.0.is_zero() {
            problems.push("exhaustion.horizon must be longer than nothing".to_owned());
        }
        if self.disk.horizon.0.is_zero() {
            problems.push("disk.horizon must be longer than nothing".to_owned());
        }
        problems
    }
}
