//! Lint: what is written correctly and is still wrong, or is perhaps not meant.

use std::collections::BTreeMap;

use super::Level;
use super::condition::{Condition, never_works};
use super::facts::{Facts, HOST_FACTS};
use super::inputs::Inputs;
use super::rule::Rule;
use crate::model::id::SeededIds;
use crate::model::{
    Class, Confidence, Finding, FindingId, FindingState, Method, Mode, Severity, Target, Timestamp, UnitState, Value,
};

/// Which key a remark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Name,
    Mode,
}

/// Level, key, message, hint.
pub(super) type Remark = (Level, About, String, String);

/// Remarks on a rule, given the rules before it.
pub(super) fn rule(rule: &Rule, before: &[Rule]) -> Vec<Remark> {
    let mut found = Vec::new();
    let name = &rule.name;
    if let Some(first) = before.iter().find(|first| covers(first, rule)) {
        let message =
            format!("rule {name} can never be the one: {} at {} matches all that it matches", first.name, first.origin);
        found.push((
            Level::Warning,
            About::Name,
            message,
            "the first rule that matches is the one: put the narrower one first".into(),
        ));
    }
    if rule.mode >= Mode::Approve && !rule.verify.stated {
        let level = if rule.mode == Mode::Auto { Level::Error } else { Level::Warning };
        let message = format!("rule {name} acts in mode {} and does not say what success is", rule.mode);
        let hint = "add [rule.verify] with `within`, and `healthy` for more than the measure that raised the finding";
        found.push((level, About::Mode, message, hint.into()));
    }
    if rule.mode == Mode::Auto {
        for (missing, key, why) in [
            (rule.sustained.is_none(), "sustained", "it acts on what would have gone away by itself"),
            (
                rule.guard.cooldown.is_none(),
                "[rule.guard] cooldown",
                "it may act again before the last run can show its effect",
            ),
        ] {
            if missing {
                let message = format!("rule {name} runs on its own without `{key}`: {why}");
                found.push((Level::Warning, About::Mode, message, format!("add `{key}`, for example \"30s\"")));
            }
        }
    }
    found
}

/// Whether the first matches whatever the second does, as far as the texts tell.
fn covers(first: &Rule, second: &Rule) -> bool {
    let kinds = second.on.iter().all(|kind| first.on.iter().any(|wider| wider == "*" || wider == kind));
    let when = match (&first.when, &second.when) {
        (None, _) => true,
        (Some(a), Some(b)) => a.source() == b.source(),
        (Some(_), None) => false,
    };
    kinds && when
}

/// Tries the condition on an imagined finding where everything is known: what fails then by its kinds of values always fails.
pub(super) fn never_true_or_false(condition: &Condition) -> Option<String> {
    let facts = Facts::new(&imagined());
    condition.holds(&facts).err().filter(|error| never_works(error))
}

fn imagined() -> Inputs {
    let at = Timestamp::from_secs(1_800_000_000);
    Inputs {
        at,
        finding: Finding {
            id: FindingId::new(at, &mut SeededIds(1)),
            fingerprint: String::new(),
            kind: "unit.failed".into(),
            class: Class::Reliability,
            target: Target::unit("imagined.service"),
            title: "imagined".into(),
            severity: Severity::High,
            confidence: Confidence::CERTAIN,
            method: Method { name: "imagined".into(), version: 1 },
            evidence: Vec::new(),
            state: FindingState::New,
            count: 1,
            began_at: at,
            detected_at: at,
            last_seen_at: at,
            resolved_at: None,
            incident: None,
            cause: None,
            label: None,
        },
        plan: None,
        host: HOST_FACTS.iter().map(|name| ((*name).to_owned(), Value::from(0.5))).collect::<BTreeMap<_, _>>(),
        unit: Some(UnitState {
            name: "imagined.service".into(),
            active_state: "failed".into(),
            ..UnitState::default()
        }),
        deployments_running: Vec::new(),
        ceiling: Mode::Auto,
        grant: Mode::Auto,
        paused: false,
        history: Vec::new(),
        now_running: 0,
        given: Vec::new(),
    }
}
