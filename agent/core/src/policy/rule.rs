//! Rules as they are after checking: every name resolved, every condition compiled, every default filled in.

use globset::{GlobSet, GlobSetBuilder};

use super::condition::Condition;
use super::guardrail::Guardrail;
use super::{Diagnostic, PolicyFile, parse};
use crate::model::{Interval, Mode, Risk};

/// Everything that the operator wrote, checked. Immutable: a reload makes another one.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) rules: Vec<Rule>,
    pub(super) guardrails: Vec<Guardrail>,
    pub(super) digest: String,
    /// Set while a document has an error: where, and what.
    pub(super) broken: Option<(String, String)>,
}

impl Policy {
    /// Checks the documents and puts them together, in order of file names, then of lines. `*.test.toml` are left out.
    ///
    /// What is in error is left out too, and the policy then lets nothing run ([`Policy::is_sound`]).
    pub fn load(files: &[PolicyFile]) -> (Self, Vec<Diagnostic>) {
        parse::load(files)
    }
    /// No rule: nothing is ever asked for or run.
    pub fn empty() -> Self {
        parse::load(&[]).0
    }
    /// SHA-256 over the names and texts of the documents.
    pub fn digest(&self) -> &str {
        &self.digest
    }
    /// In order: the first that matches is the one.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }
    /// By name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }
    /// All of them apply, always.
    pub fn guardrails(&self) -> &[Guardrail] {
        &self.guardrails
    }
    /// False when a document had an error; then every decision is a denial.
    pub fn is_sound(&self) -> bool {
        self.broken.is_none()
    }
}

/// When a finding matches, who is asked for a plan, in which mode, and when that was a success.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique over all documents.
    pub name: String,
    /// For people.
    pub description: String,
    /// Finding kinds, globs allowed.
    pub on: Vec<String>,
    pub(super) kinds: Patterns,
    /// What must also hold; none: nothing.
    pub when: Option<Condition>,
    /// How long the symptom must last before a plan is asked for.
    pub sustained: Option<Interval>,
    /// The plugin that is asked.
    pub plugin: String,
    /// How far the rule may go on its own.
    pub mode: Mode,
    /// All must hold just before acting.
    pub checklist: Vec<Condition>,
    /// The limits of its runs.
    pub guard: Guard,
    /// What success is.
    pub verify: VerifyRule,
    /// Autonomy is earned, and lost.
    pub autonomy: Autonomy,
    /// How long a plan waits for a person.
    pub approval_expires: Interval,
    /// `file:line`.
    pub origin: String,
}

/// Globs over finding kinds.
#[derive(Debug, Clone)]
pub(super) struct Patterns(GlobSet);

impl Patterns {
    /// Compiles; the error says which pattern (by position) is bad, and why.
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, (usize, String)> {
        let mut builder = GlobSetBuilder::new();
        for (index, text) in texts.into_iter().enumerate() {
            builder.add(globset::Glob::new(text).map_err(|e| (index, e.kind().to_string()))?);
        }
        builder.build().map(Self).map_err(|e| (0, e.to_string()))
    }
    /// Whether any of them matches.
    pub(super) fn matches(&self, kind: &str) -> bool {
        self.0.is_match(kind)
    }
}

/// The limits of a rule's runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Shortest time between two runs on one target.
    pub cooldown: Option<Interval>,
    /// Runs of this rule, over all targets, before it drops to `approve`.
    pub budget: Budget,
    /// How much one plan may touch.
    pub blast_radius: BlastRadius,
    /// Highest risk that a plan may carry.
    pub max_risk: Option<Risk>,
}

/// So many runs within so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How many.
    pub runs: u32,
    /// Within what time, counted back from now.
    pub per: Interval,
}

impl Budget {
    /// What a rule gets that states none: enough to be useful, too few to go on unseen.
    pub const DEFAULT: Self = Self { runs: 6, per: Interval::secs(3_600) };
}

/// How much one plan may touch. `None`: no limit beyond what the finding's target sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlastRadius {
    /// Distinct units.
    pub units: Option<u32>,
    /// Distinct paths.
    pub paths: Option<u32>,
}

/// What success is, and what happens without it.
#[derive(Debug, Clone)]
pub struct VerifyRule {
    /// Whether the rule has a `[rule.verify]` at all.
    pub stated: bool,
    /// How long after the last step the symptom may take to go.
    pub within: Interval,
    /// What must hold besides the measure that raised the finding.
    pub healthy: Option<Condition>,
    /// What to do when it was no success.
    pub on_failure: OnFailure,
}

/// What to do when a remediation was no success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Take back what was done.
    Undo,
    /// Leave it as it is.
    Stop,
    /// Leave it as it is, and raise the finding to a person.
    Escalate,
}

impl OnFailure {
    /// The word in policy.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undo => "undo",
            Self::Stop => "stop",
            Self::Escalate => "escalate",
        }
    }
}

/// Autonomy is earned, and lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Autonomy {
    /// So many failures in a row drop the rule to `approve`, until a run succeeds again. Default: 2.
    pub demote_after_failures: u32,
    /// When the record is this good, say that the mode could be raised. Nothing is raised by itself.
    pub suggest_promotion_after: Option<Promotion>,
}

/// A record good enough to say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promotion {
    /// Runs that succeeded, without a failure among them.
    pub successes: u32,
    /// Within what time, counted back from now.
    pub over: Interval,
}
