//! Guardrails: limits over all rules. A guardrail can only tighten: it adds reasons, and none of them allows anything.

use super::condition::Condition;
use super::facts::Facts;
use super::inputs::{Inputs, PastRun};
use super::reasons::Reasons;
use super::rule::{Budget, Patterns};
use crate::model::{Mode, Risk, Timestamp};

/// A limit over all rules.
#[derive(Debug, Clone)]
pub struct Guardrail {
    /// Unique among guardrails.
    pub name: String,
    /// Why it is there, for the person whose plan it stops.
    pub reason: String,
    /// Finding kinds that it holds for, globs allowed; empty: all.
    pub on: Vec<String>,
    pub(super) kinds: Option<Patterns>,
    /// When it holds; none: always. When this cannot be told, it holds.
    pub when: Option<Condition>,
    /// Nothing runs.
    pub deny: bool,
    /// Highest mode.
    pub max_mode: Option<Mode>,
    /// Highest risk of a plan.
    pub max_risk: Option<Risk>,
    /// With so many remediations under way, the next one asks.
    pub max_running: Option<u32>,
    /// Runs of all rules together, before each asks.
    pub budget: Option<Budget>,
    /// `file:line`.
    pub origin: String,
}

impl Guardrail {
    /// Whether it limits anything.
    pub(super) fn limits(&self) -> bool {
        self.deny
            || self.max_mode.is_some()
            || self.max_risk.is_some()
            || self.max_running.is_some()
            || self.budget.is_some()
    }

    /// Adds its reasons.
    pub(super) fn apply(&self, inputs: &Inputs, facts: &Facts, reasons: &mut Reasons) {
        if self.kinds.as_ref().is_some_and(|kinds| !kinds.matches(&inputs.finding.kind)) {
            return;
        }
        let code = format!("guardrail:{}", self.name);
        let why = |what: String| if self.reason.is_empty() { what } else { format!("{what}: {}", self.reason) };
        let doubt = match self.when.as_ref().map(|when| when.holds(facts)) {
            Some(Ok(false)) => return,
            Some(Err(error)) => format!(" (it holds because {error})"),
            None | Some(Ok(true)) => String::new(),
        };
        if self.deny {
            reasons.deny(&code, &self.origin, why(format!("nothing may run here{doubt}")));
        }
        if let Some(mode) = self.max_mode {
            reasons.cap_if_it_binds(&code, mode, &self.origin, why(format!("the mode is {mode} at most{doubt}")));
        }
        if let (Some(max), Some(plan)) = (self.max_risk, &inputs.plan)
            && plan.risk() > max
        {
            let text = format!("the plan's risk is {}, more than {max}{doubt}", plan.risk());
            reasons.deny(&code, &self.origin, why(text));
        }
        if let Some(max) = self.max_running
            && inputs.now_running >= max
        {
            let text = format!(
                "{} remediations are under way and {max} may be without a person's yes{doubt}",
                inputs.now_running
            );
            reasons.cap(&code, Mode::Approve, &self.origin, why(text));
        }
        if let Some(budget) = self.budget {
            let runs = runs_within(budget, inputs.at, inputs.history.iter());
            if runs >= budget.runs {
                let text = format!(
                    "{runs} runs of all rules within {}, and {} may be without a person's yes{doubt}",
                    budget.per, budget.runs
                );
                reasons.cap(&code, Mode::Approve, &self.origin, why(text));
            }
        }
    }
}

/// Runs that did something within the budget's time. A start in the future (the clock was set back) counts.
pub(super) fn runs_within<'a>(budget: Budget, at: Timestamp, history: impl Iterator<Item = &'a PastRun>) -> u32 {
    let within = history.filter(|run| run.acted() && at.since(run.started_at) < budget.per.0).count();
    u32::try_from(within).unwrap_or(u32::MAX)
}
