//! The question that a pipeline asks of a deployment: pass, fail or inconclusive, with the measured numbers.
//!
//! Pure: the same inputs give the same report. A pass needs every required input; what is missing makes the verdict
//! inconclusive and is named, with how long it would take to have it. Nothing that is not a number compares as fine.
//! A failed check decides at once. `settled` says that no more waiting can change the verdict.

mod checks;
mod contrast;
mod evidence;
mod units;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Deployment, DeploymentId, Evidence, Finding, Incident, Timestamp, UnitState};

pub use contrast::{Contrast, ContrastSeries, SETTLING};
pub use evidence::Coverage;
pub use units::UnitFacts;

/// How much has to be seen before the gate says pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateLimits {
    /// Telemetry wanted from before the start, to have something to compare with. Default: 60 s.
    pub history: Duration,
    /// Telemetry wanted from after the finish, and time for which each unit has to be active. Default: 30 s.
    pub observe: Duration,
    /// Right after the finish the news of a unit's start may still be on its way. Default: 5 s.
    pub grace: Duration,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self { history: Duration::from_mins(1), observe: Duration::from_secs(30), grace: Duration::from_secs(5) }
    }
}

/// Everything that a verdict is computed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateInputs {
    /// The deployment that is asked about.
    pub deployment: Deployment,
    /// Now.
    pub at: Timestamp,
    /// How much has to be seen.
    pub limits: GateLimits,
    /// Incidents that are open, or were resolved since the deployment started.
    pub incidents: Vec<Incident>,
    /// Findings that are open, or were detected or resolved since the deployment started; those of `incidents` too.
    pub findings: Vec<Finding>,
    /// One for each unit that the deployment declares.
    pub units: Vec<UnitFacts>,
    /// Files recorded below the release directory; `None` when the deployment declares no such directory.
    pub release_files: Option<u64>,
    /// Whether `incidents` and `findings` hold all that there are; the store answers with a bounded number.
    pub complete: bool,
    /// Telemetry before the start.
    pub before: Coverage,
    /// Telemetry since the finish; empty while the deployment runs.
    pub after: Coverage,
    /// Series before and since, with what is usual; `None`: there are none.
    #[serde(default)]
    pub contrast: Option<Contrast>,
}

impl GateInputs {
    /// Adds what the host says about a unit at this moment; a unit that the deployment does not declare is left out.
    pub fn observe_unit(&mut self, state: UnitState) {
        if let Some(unit) = self.units.iter_mut().find(|u| u.name == state.name) {
            unit.now = Some(state);
        }
    }

    /// Time since the finish; `None` while the deployment runs.
    fn since_finish(&self) -> Option<Duration> {
        self.deployment.finished_at.map(|end| self.at.since(end))
    }

    /// Whether the window in which trouble is watched for has passed, with and without telemetry.
    fn window_over(&self) -> bool {
        self.since_finish().is_some_and(|since| since >= self.limits.observe)
    }
}

/// The answer to a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// Everything that was asked for was seen, and nothing speaks against the deployment.
    Pass,
    /// Something speaks against the deployment.
    Fail,
    /// Too little is known to say.
    Inconclusive,
}

impl GateVerdict {
    /// The word in JSON and in the CLI.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for GateVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One question with its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateCheck {
    /// `deployment`, `evidence`, `units`, `incidents`, `integrity`, `thresholds`, `contrast`.
    pub name: String,
    /// The answer.
    pub verdict: GateVerdict,
    /// Whether a pass of the whole needs a pass of this one. A fail counts always.
    pub required: bool,
    /// One line for people, with the measured numbers.
    pub text: String,
    /// The numbers for programs.
    pub evidence: Vec<Evidence>,
}

/// The verdict on one deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Which.
    pub deployment: DeploymentId,
    /// The whole verdict: any fail fails, then anything required that is inconclusive, else pass.
    pub verdict: GateVerdict,
    /// Each question, always the same seven in the same order.
    pub checks: Vec<GateCheck>,
    /// No more waiting can change the verdict.
    pub settled: bool,
    /// When it may settle if nothing else happens; `None` when it has settled or nobody knows.
    pub settles_at: Option<Timestamp>,
    /// The moment that the verdict is about.
    pub at: Timestamp,
}

/// What a check found, and whether waiting could change it.
struct Outcome {
    verdict: GateVerdict,
    text: String,
    evidence: Vec<Evidence>,
    required: bool,
    until: Until,
}

/// Until when an answer stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Until {
    /// For good.
    Settled,
    /// It may change at this moment if nothing else happens.
    At(Timestamp),
    /// It waits for something without a known moment.
    Unknown,
}

impl Outcome {
    fn pass(text: impl Into<String>) -> Self {
        Self::new(GateVerdict::Pass, text.into(), Until::Settled)
    }
    fn fail(text: impl Into<String>) -> Self {
        Self::new(GateVerdict::Fail, text.into(), Until::Settled)
    }
    fn inconclusive(text: impl Into<String>, until: Until) -> Self {
        Self::new(GateVerdict::Inconclusive, text.into(), until)
    }
    fn new(verdict: GateVerdict, text: String, until: Until) -> Self {
        Self { verdict, text, evidence: Vec::new(), required: true, until }
    }
    fn with(mut self, evidence: Vec<Evidence>) -> Self {
        self.evidence = evidence;
        self
    }
    /// The same, standing only until `until`.
    fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }
    fn optional(mut self) -> Self {
        self.required = false;
        self
    }
}

/// Gives the verdict.
pub fn judge(inputs: &GateInputs) -> GateReport {
    let outcomes = [
        ("deployment", checks::deployment(inputs)),
        ("evidence", evidence::check(inputs)),
        ("units", units::check(inputs)),
        ("incidents", checks::incidents(inputs)),
        ("integrity", checks::integrity(inputs)),
        ("thresholds", checks::thresholds(inputs)),
        ("contrast", contrast::check(inputs)),
    ];
    let any = |verdict: GateVerdict| {
        outcomes.iter().any(|(_, o)| o.verdict == verdict && (o.required || verdict == GateVerdict::Fail))
    };
    let verdict = if any(GateVerdict::Fail) {
        GateVerdict::Fail
    } else if any(GateVerdict::Inconclusive) {
        GateVerdict::Inconclusive
    } else {
        GateVerdict::Pass
    };
    // A fail stands whatever else happens, and a pass is only given when the window is over.
    let until = match verdict {
        GateVerdict::Inconclusive => outcomes.iter().map(|(_, o)| o.until).max().unwrap_or(Until::Settled),
        GateVerdict::Pass | GateVerdict::Fail => Until::Settled,
    };
    let checks = outcomes.into_iter().map(|(name, outcome)| GateCheck {
        name: name.to_owned(),
        verdict: outcome.verdict,
        required: outcome.required,
        text: outcome.text,
        evidence: outcome.evidence,
    });
    GateReport {
        deployment: inputs.deployment.id.clone(),
        verdict,
        checks: checks.collect(),
        settled: until == Until::Settled,
        settles_at: if let Until::At(at) = until { Some(at) } else { None },
        at: inputs.at,
    }
}

/// Seconds as people read them: `0.4 s`, `12 s`, `5 min 3 s`.
pub fn span(time: Duration) -> String {
    let secs = time.as_secs_f64();
    if secs < 10.0 {
        format!("{secs:.1} s")
    } else if secs < 120.0 {
        format!("{secs:.0} s")
    } else if secs < 7200.0 {
        format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
    } else {
        format!("{} h {} min", time.as_secs() / 3600, time.as_secs() / 60 % 60)
    }
}

#[cfg(test)]
mod tests;
