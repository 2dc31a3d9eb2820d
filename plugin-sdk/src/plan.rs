//! A plan: one step or more, in order, with what it rests on.
//!
//! It begins with its first step, so there is no empty plan; ids are given by position.

use crate::bindings::remediator as wire;
use crate::text::{line, plain};
use crate::{Evidence, Finding, Step, Subject};

/// Longest time between proposal and start until stated otherwise.
const VALID_NS: u64 = 3_600_000_000_000;

/// Made by [`Remediator::propose`](crate::Remediator::propose).
///
/// ```
/// use holdfast_plugin_sdk::host::units::UnitStatus;
/// use holdfast_plugin_sdk::{Plan, Problem, evidence, step, subject};
///
/// let finding = Problem::new("unit.failed", "1", subject("unit", "web.service"), "web.service has failed").finding().clone();
/// let seen = UnitStatus { name: "web.service".into(), active: "failed".into(), ..UnitStatus::default() };
/// let plan = Plan::new(&finding, "clear its failures and start it", step::reset_failed(&seen).because("it gave up starting"))
///     .then(step::restart_unit_when(&seen, "inactive").because("its cause is gone").within_ms(60_000))
///     .confidence(0.8)
///     .evidence(evidence("unit.result", "start-limit-hit"))
///     .settle_ms(10_000)
///     .expires(1_800_000_000_000_000_000); // not begun any more after this moment
/// assert_eq!((plan.steps().len(), plan.stated_confidence()), (2, 0.8));
/// assert_eq!((plan.summary(), plan.stated_evidence().len()), ("clear its failures and start it", 1));
/// ```
#[derive(Debug, Clone)]
pub struct Plan {
    summary: String,
    subject: Subject,
    confidence: f64,
    steps: Vec<Step>,
    evidence: Vec<Evidence>,
    settle_ms: u32,
    expires_ns: Option<u64>,
}

impl Plan {
    /// A plan that is to cure this finding. Confidence is 0.5 until stated; nothing is waited for after the last step.
    pub fn new(finding: &Finding, summary: &str, first: Step) -> Self {
        let name = plain(&finding.subject.name, crate::text::NAME_BYTES_MAX);
        Self {
            summary: line(summary),
            subject: Subject { kind: finding.subject.kind.clone(), name },
            confidence: 0.5,
            steps: vec![first],
            evidence: vec![],
            settle_ms: 0,
            expires_ns: None,
        }
    }

    /// One more step; the first failure stops the plan.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// How sure, 0 to 1, that this cures the finding.
    #[must_use]
    pub fn confidence(mut self, confidence: f64) -> Self {
        self.confidence = if confidence.is_nan() { 0.0 } else { confidence.clamp(0.0, 1.0) };
        self
    }

    /// A fact that it rests on.
    #[must_use]
    pub fn evidence(mut self, evidence: Evidence) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// How long the agent waits after the last step before it looks: at most 10 minutes.
    #[must_use]
    pub fn settle_ms(mut self, settle_ms: u32) -> Self {
        self.settle_ms = settle_ms.min(600_000);
        self
    }

    /// After this moment it may not start any more. Default: an hour after it is made.
    #[must_use]
    pub fn expires(mut self, at_ns: u64) -> Self {
        self.expires_ns = Some(at_ns);
        self
    }

    /// Its steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// One line for people.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// How sure.
    pub fn stated_confidence(&self) -> f64 {
        self.confidence
    }

    /// What it rests on.
    pub fn stated_evidence(&self) -> &[Evidence] {
        &self.evidence
    }

    #[doc(hidden)]
    pub fn into_wire(self, now_ns: u64) -> wire::Plan {
        wire::Plan {
            summary: self.summary,
            subject: self.subject,
            confidence: self.confidence,
            steps: self.steps.into_iter().enumerate().map(|(at, step)| step.into_wire(at + 1)).collect(),
            evidence: self.evidence,
            settle_ms: self.settle_ms,
            expires: self.expires_ns.unwrap_or(now_ns.saturating_add(VALID_NS)),
        }
    }
}
