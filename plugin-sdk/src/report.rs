//! What a check says: problems, which rules really ran, and which could not.
//!
//! Each rule is named in each report. A finding closes when its rule was [`Report::evaluated`], was not [`Report::skipped`] anywhere and did
//! not report it; the host takes a finding only of a rule that was evaluated. A rule that ran and could not look everywhere is both. One
//! that no report names any more was dropped, and what it had found ends.

use crate::bindings::check as wire;
use crate::text::{line, plain};
use crate::{Error, Evidence, Finding, Severity, Subject};

/// Filled by [`Check::run`](crate::Check::run).
///
/// ```
/// use holdfast_plugin_sdk::{Error, Problem, Report, subject};
///
/// let mut report = Report::default();
/// report.found(Problem::new("log.too_large", "size", subject("file", "/var/log/a"), "/var/log/a is large"));
/// report.evaluated("log.too_large"); // it ran: what is not reported is not there
/// report.skipped("log.too_large", Error::Denied("files below `/srv`".into())); // but not everywhere: nothing closes
/// assert_eq!(report.problems().len(), 1);
/// ```
#[derive(Debug, Default)]
pub struct Report {
    problems: Vec<Problem>,
    evaluated: Vec<String>,
    skipped: Vec<(String, Error)>,
}

impl Report {
    /// States a problem.
    pub fn found(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// This rule ran: what it did not report is not there, unless it was also [`Report::skipped`] somewhere.
    pub fn evaluated(&mut self, rule: &str) {
        if !self.evaluated.iter().any(|r| r == rule) {
            self.evaluated.push(rule.to_owned());
        }
    }

    /// This rule could not run, or not on this part of the host, and why. Never shown as passed; what it had found stays open.
    pub fn skipped(&mut self, rule: impl Into<String>, why: Error) {
        self.skipped.push((rule.into(), why));
    }

    /// What was stated so far.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    #[doc(hidden)]
    pub fn into_wire(self) -> wire::Report {
        wire::Report {
            findings: self.problems.into_iter().map(|p| p.0).collect(),
            evaluated: self.evaluated,
            skipped: self.skipped,
        }
    }
}

/// One stated problem about one subject.
///
/// ```
/// use holdfast_plugin_sdk::{Problem, Severity, evidence, subject};
///
/// let problem = Problem::new("cert.ends_soon", "leaf", subject("file", "/etc/ssl/shop.pem"), "shop.pem ends in 3 days")
///     .severity(Severity::High)
///     .confidence(0.9)
///     .expected("30 days", "3 days")
///     .evidence(evidence("cert.days_left", 3_u32));
/// let finding = problem.finding();
/// assert_eq!((finding.severity, finding.confidence, finding.observed.as_deref()), (Severity::High, 0.9, Some("3 days")));
/// // Stated again at a later run, for instance out of `host::state`.
/// assert_eq!(Problem::from_finding(finding.clone()), problem);
/// // Names are somebody else's: a title stays one line.
/// assert_eq!(Problem::new("x", "1", subject("file", "/a"), "a\nb").finding().title, "a\\nb");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Problem(Finding);

impl Problem {
    /// `rule` is the kind of the finding (`release.tampered`); `id` tells two problems of one rule and subject apart and must be the
    /// same at every run: a short word of letters, digits and `._-:/@+`. Severity is medium and confidence 1 until stated.
    pub fn new(rule: &str, id: &str, subject: Subject, title: &str) -> Self {
        let subject = Subject { kind: subject.kind, name: plain(&subject.name, crate::text::NAME_BYTES_MAX) };
        Self(Finding {
            id: id.to_owned(),
            rule: rule.to_owned(),
            title: line(title),
            severity: Severity::Medium,
            confidence: 1.0,
            subject,
            expected: None,
            observed: None,
            evidence: vec![],
            references: vec![],
        })
    }

    /// A problem that an earlier run stated, stated again.
    pub fn from_finding(finding: Finding) -> Self {
        Self(finding)
    }

    /// How bad, if true.
    #[must_use]
    pub fn severity(mut self, severity: Severity) -> Self {
        self.0.severity = severity;
        self
    }

    /// How likely true, 0 to 1.
    #[must_use]
    pub fn confidence(mut self, confidence: f64) -> Self {
        self.0.confidence = confidence.clamp(0.0, 1.0);
        self
    }

    /// What should be, and what is.
    #[must_use]
    pub fn expected(mut self, expected: &str, observed: &str) -> Self {
        (self.0.expected, self.0.observed) = (Some(line(expected)), Some(line(observed)));
        self
    }

    /// A fact that it rests on.
    #[must_use]
    pub fn evidence(mut self, evidence: Evidence) -> Self {
        self.0.evidence.push(evidence);
        self
    }

    /// As the host gets it.
    pub fn finding(&self) -> &Finding {
        &self.0
    }
}
