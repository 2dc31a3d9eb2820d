//! What an author implements: [`Plugin`] once, and a trait for each role.
//!
//! Every call comes to a fresh instance: `configure`, then the one call, then the instance is gone. What must be remembered goes
//! through [`host::state`](crate::host::state).

use serde::de::DeserializeOwned;

use crate::host::metrics::Series;
use crate::{Anomaly, Error, Evidence, Finding, Plan, Report, Samples, Subject};

pub use crate::bindings::remediator::Verdict;

/// What every plugin knows about the call that it serves.
///
/// ```
/// use holdfast_plugin_sdk::Context;
/// let context = Context { run_id: "run_1".into(), host_id: "web-3".into() };
/// assert_eq!(context.clone(), context);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The run's id, also in the audit log and on every log line.
    pub run_id: String,
    /// The host that it looks at.
    pub host_id: String,
}

/// Made anew for each call, from the operator's settings.
///
/// ```
/// use holdfast_plugin_sdk::{Context, Error, Plugin, measure};
///
/// #[derive(serde::Deserialize)]
/// struct Settings {
///     largest: measure::Bytes,
/// }
///
/// struct LogSize {
///     largest: u64,
/// }
///
/// impl Plugin for LogSize {
///     type Settings = Settings;
///
///     fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
///         if settings.largest.0 == 0 {
///             return Err(Error::Invalid("`largest` is 0B".into()));
///         }
///         Ok(Self { largest: settings.largest.0 })
///     }
/// }
///
/// let context = Context { run_id: "run_1".into(), host_id: "web-3".into() };
/// let settings: Settings = holdfast_plugin_sdk::roles::settings(r#"{"largest": "1MiB"}"#)?;
/// assert_eq!(LogSize::configure(context, settings)?.largest, 1 << 20);
/// # Ok::<(), Error>(())
/// ```
pub trait Plugin: Sized + 'static {
    /// The shape of `[settings]` in `plugin.toml`. The defaults live there; the host sends all keys.
    type Settings: DeserializeOwned;

    /// Checks the settings and keeps what the call needs. An error ends the call with its words.
    fn configure(context: Context, settings: Self::Settings) -> Result<Self, Error>;
}

/// Looks at the host and reports problems.
///
/// ```
/// use holdfast_plugin_sdk::{Check, Context, Error, Plugin, Problem, Report, subject};
///
/// struct Names(Vec<String>);
///
/// impl Plugin for Names {
///     type Settings = Vec<String>;
///     fn configure(_: Context, settings: Vec<String>) -> Result<Self, Error> {
///         Ok(Self(settings))
///     }
/// }
///
/// impl Check for Names {
///     fn run(&self, report: &mut Report) -> Result<(), Error> {
///         for name in self.0.iter().filter(|name| name.contains(' ')) {
///             report.found(Problem::new("name.with_space", "name", subject("user", name), &format!("{name} has a space")));
///         }
///         report.evaluated("name.with_space");
///         Ok(())
///     }
/// }
///
/// let mut report = Report::default();
/// Names(vec!["alice".into(), "b ob".into()]).run(&mut report)?;
/// assert_eq!(report.problems()[0].finding().title, "b ob has a space");
/// # Ok::<(), Error>(())
/// ```
pub trait Check: Plugin {
    /// Fills the report. An error means that nothing at all could be said: no finding opens or closes.
    fn run(&self, report: &mut Report) -> Result<(), Error>;
}

/// Measures something, each time its `schedule` says: once in seconds or minutes.
///
/// The agent keeps its samples as it keeps its own: they can be queried, exported and judged. Each series names the plugin.
///
/// ```
/// use holdfast_plugin_sdk::{Collector, Context, Error, Plugin, Samples};
///
/// struct Queue(Vec<u32>);
///
/// impl Plugin for Queue {
///     type Settings = Vec<u32>;
///     fn configure(_: Context, settings: Vec<u32>) -> Result<Self, Error> {
///         Ok(Self(settings))
///     }
/// }
///
/// impl Collector for Queue {
///     fn collect(&self, samples: &mut Samples) -> Result<(), Error> {
///         samples.gauge("mail.queue.length", "{message}", self.0.len() as f64);
///         Ok(())
///     }
/// }
///
/// let mut samples = Samples::default();
/// Queue(vec![1, 2, 3]).collect(&mut samples)?;
/// assert_eq!(samples.all()[0].value(), 3.0);
/// # Ok::<(), Error>(())
/// ```
pub trait Collector: Plugin {
    /// Measures. An error means that nothing could be measured; what cannot be measured is left out, never zero.
    fn collect(&self, samples: &mut Samples) -> Result<(), Error>;
}

/// Judges series: those of the metrics that `[detects]` in `plugin.toml` names, as far as its `window` goes back, each time its `schedule`
/// says.
///
/// ```
/// use holdfast_plugin_sdk::host::metrics::{self, Point, Series};
/// use holdfast_plugin_sdk::{Anomaly, Context, Detector, Error, Plugin, subject};
///
/// struct Backlog {
///     most: f64,
/// }
///
/// impl Plugin for Backlog {
///     type Settings = f64;
///     fn configure(_: Context, most: f64) -> Result<Self, Error> {
///         Ok(Self { most })
///     }
/// }
///
/// impl Detector for Backlog {
///     fn detect(&self, window: &[Series]) -> Result<Vec<Anomaly>, Error> {
///         let long = window.iter().filter(|it| metrics::newest(it).is_some_and(|length| length > self.most));
///         Ok(long.map(|_| Anomaly::new("backlog", subject("service", "mail"), "mail waits").expected(0.0, self.most)).collect())
///     }
/// }
///
/// let points = vec![Point { at: 1, value: 900.0 }];
/// let series = Series { name: "mail.queue.length".into(), labels: vec![], points, truncated: false };
/// assert_eq!(Backlog { most: 100.0 }.detect(&[series])?.len(), 1);
/// # Ok::<(), Error>(())
/// ```
pub trait Detector: Plugin {
    /// What is unusual now. What an earlier call named and this one does not is over. An error means that nothing could be said.
    fn detect(&self, window: &[Series]) -> Result<Vec<Anomaly>, Error>;
}

/// Proposes plans. It never acts: the agent decides, acts, verifies and undoes.
///
/// ```
/// use holdfast_plugin_sdk::host::units::{self, UnitStatus};
/// use holdfast_plugin_sdk::{Context, Error, Finding, Plan, Plugin, Problem, Remediator, Verdict, step, subject};
///
/// struct Starter;
///
/// impl Plugin for Starter {
///     type Settings = std::collections::BTreeMap<String, String>;
///     fn configure(_: Context, _: Self::Settings) -> Result<Self, Error> {
///         Ok(Self)
///     }
/// }
///
/// /// Pure: it is tested as it is.
/// fn plan(finding: &Finding, seen: &UnitStatus) -> Option<Plan> {
///     (seen.active == "failed").then(|| Plan::new(finding, "start it again", step::restart_unit(seen).because("it crashed")))
/// }
///
/// impl Remediator for Starter {
///     fn propose(&self, finding: &Finding) -> Result<Option<Plan>, Error> {
///         Ok(plan(finding, &units::status(&finding.subject.name)?)) // asks the host
///     }
/// }
///
/// let finding = Problem::new("unit.failed", "1", subject("unit", "web.service"), "web.service has failed").finding().clone();
/// let seen = UnitStatus { name: "web.service".into(), active: "failed".into(), ..UnitStatus::default() };
/// assert_eq!(plan(&finding, &seen).unwrap().steps()[0].capability(), "unit.restart");
/// assert!(plan(&finding, &UnitStatus::default()).is_none());
/// ```
pub trait Remediator: Plugin {
    /// A plan for the finding, or `None` (with a log line that says why) when there is nothing to propose.
    fn propose(&self, finding: &Finding) -> Result<Option<Plan>, Error>;

    /// Whether the finding is cured, from fresh facts. The agent has its own measure; this is a second opinion, and the default
    /// has none.
    fn verify(&self, finding: &Finding, plan: &ProposedPlan, outcomes: &[Outcome]) -> Result<Verdict, Error> {
        let _ = (finding, plan, outcomes);
        Ok(Verdict::Unsure("the plugin has no measure of its own".to_owned()))
    }
}

/// A plan as it comes back for verification.
///
/// ```
/// use holdfast_plugin_sdk::{Outcome, OutcomeState, ProposedPlan, ProposedStep, Verdict, subject};
///
/// /// What a `verify` of its own may decide, over plain data.
/// fn judge(plan: &ProposedPlan, outcomes: &[Outcome], free_bytes: u64) -> Verdict {
///     let all_done = outcomes.iter().all(|it| it.state == OutcomeState::Done) && outcomes.len() == plan.steps.len();
///     match (all_done, free_bytes > 1 << 30) {
///         (true, true) => Verdict::Healed("there is room again".into()),
///         (true, false) => Verdict::NotHealed("it is still full".into()),
///         (false, _) => Verdict::Unsure("not every step was carried out".into()),
///     }
/// }
///
/// let step = ProposedStep { id: "1".into(), capability: "path.reclaim".into() };
/// let plan = ProposedPlan { summary: "make room".into(), subject: subject("filesystem", "/"), evidence: vec![], steps: vec![step] };
/// let done = Outcome { step: "1".into(), state: OutcomeState::Done, message: "2 files".into(), facts: vec![] };
/// assert!(matches!(judge(&plan, &[done.clone()], 2 << 30), Verdict::Healed(_)));
/// assert!(matches!(judge(&plan, &[Outcome { state: OutcomeState::Skipped, ..done }], 2 << 30), Verdict::Unsure(_)));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedPlan {
    /// One line for people.
    pub summary: String,
    /// About what.
    pub subject: Subject,
    /// What it rested on.
    pub evidence: Vec<Evidence>,
    /// Its steps.
    pub steps: Vec<ProposedStep>,
}

/// A step as it comes back for verification.
#[derive(Debug, Clone, PartialEq)]
pub struct ProposedStep {
    /// The name within the plan.
    pub id: String,
    /// `unit.restart`, …
    pub capability: String,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The step's id.
    pub step: String,
    /// How it ended.
    pub state: OutcomeState,
    /// In words.
    pub message: String,
    /// In facts.
    pub facts: Vec<Evidence>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeState {
    /// Carried out.
    Done,
    /// Tried, and not done or only in part.
    Failed,
    /// Not tried.
    Skipped,
    /// Done and taken back.
    Undone,
    /// Only simulated.
    DryRun,
}

/// Reads the settings that the host sends as JSON.
///
/// ```
/// use holdfast_plugin_sdk::{measure::Share, roles::settings};
///
/// #[derive(Debug, serde::Deserialize)]
/// #[serde(deny_unknown_fields, rename_all = "kebab-case")]
/// struct Settings {
///     full_at: Share,
/// }
///
/// assert_eq!(settings::<Settings>(r#"{"full-at": "80%"}"#)?.full_at.0, 0.8);
/// let error = settings::<Settings>(r#"{"full-at": 80}"#).unwrap_err();
/// assert!(matches!(error, holdfast_plugin_sdk::Error::Invalid(_)));
/// # Ok::<(), holdfast_plugin_sdk::Error>(())
/// ```
pub fn settings<S: DeserializeOwned>(json: &str) -> Result<S, Error> {
    serde_json::from_str(json).map_err(|error| Error::Invalid(format!("settings: {error}")))
}
