//! What a detection is like, from its kind and its evidence: sizes, of which larger is worse, and facts that have to be the same.
//!
//! | kind | sizes | facts |
//! |---|---|---|
//! | `metric.anomaly` | distance of the extreme from what was expected | to which side |
//! | `metric.spread` | how many times more it varies, or less | which of both |
//! | `metric.threshold` | distance of the worst value beyond the limit; a twentieth of the limit more is not clearly larger | which side |
//! | `disk.filling` | bytes a second; how soon it is full | |
//! | `resource.exhausting` | share a second; how soon it is gone | |
//! | `slo.burn` | burn rate | |
//! | `disk.full` | how little is free: bytes, or inodes | |
//! | `unit.failed` | | the result (`exit-code`, `signal`, ..) |
//! | `unit.restarting` | restarts within ten minutes | the result |
//! | `file.drift`, other drift | | digest, mode and owner; the item's value |
//! | `telemetry.clock_jump` | seconds that the clock was set by | forwards or backwards |
//! | `telemetry.silent`, `telemetry.stuck` | | |
//! | any other | every number may differ by [`LARGER`] either way | every text and every yes or no |

use super::{LARGER, SMALLER};
use crate::model::{COURSE, Evidence, LABEL_EVIDENCE, RELATED_EVIDENCE, Value};

pub(super) const SIDE: &str = "side";
pub(super) const ABOVE: &str = "above";
const BELOW: &str = "below";
/// The least part of a threshold's limit that counts as larger; its own hysteresis.
const LIMIT_PART: f64 = 0.05;
/// What differs from one time to the next without saying anything: times, names of runs, texts that repeat other evidence.
const PASSING: [&str; 8] = [
    "unit.invocation_id",
    "file.modified_at",
    "file.diff",
    "context.activity",
    "finding.flaps",
    "finding.ended",
    "series.reason",
    COURSE,
];

/// One size; larger is worse.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// What it measures, for people.
    pub name: String,
    /// Finite.
    pub value: f64,
    /// So much more is never clearly larger.
    slack: f64,
    /// Its direction is not known: much smaller is another matter, too.
    either_way: bool,
}

/// What a detection is like.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Like {
    /// Sizes.
    pub sizes: Vec<Size>,
    /// Facts, by name.
    pub facts: Vec<(String, String)>,
}

fn number(evidence: &[Evidence], name: &str) -> Option<f64> {
    match evidence.iter().find(|it| it.name == name).map(|it| &it.value) {
        Some(Value::Number(value)) => Some(*value),
        Some(Value::Integer(value)) => Some(*value as f64),
        _ => None,
    }
}

fn side(value: f64) -> (String, String) {
    (SIDE.to_owned(), if value >= 0.0 { ABOVE } else { BELOW }.to_owned())
}

impl Like {
    /// See the module.
    pub fn of(kind: &str, evidence: &[Evidence]) -> Self {
        let mut like = Self::default();
        match kind {
            "metric.anomaly" => {
                let extreme = number(evidence, "series.extreme").or_else(|| number(evidence, "series.value"));
                if let (Some(extreme), Some(expected)) = (extreme, number(evidence, "series.expected")) {
                    like.size("departure", (extreme - expected).abs(), 0.0);
                    like.facts.push(side(extreme - expected));
                }
            }
            "metric.spread" => {
                if let Some(ratio) = number(evidence, "series.spread_ratio").filter(|it| *it > 0.0) {
                    like.size("change of spread", ratio.max(1.0 / ratio), 0.0);
                    like.facts.push(side(ratio - 1.0));
                }
            }
            "metric.threshold" => {
                let worst = number(evidence, "series.worst");
                let beyond = |limit: &str, sign: f64| {
                    let limit = number(evidence, limit)?;
                    Some((sign * (worst? - limit), limit, sign)).filter(|(beyond, ..)| *beyond > 0.0)
                };
                if let Some((beyond, limit, sign)) =
                    beyond("threshold.above", 1.0).or_else(|| beyond("threshold.below", -1.0))
                {
                    like.size("distance beyond the limit", beyond, limit.abs() * LIMIT_PART);
                    like.facts.push(side(sign));
                }
            }
            "disk.filling" => {
                if let Some(rate) = number(evidence, "filesystem.fill_rate_bytes_per_s") {
                    like.size("rate of filling", rate, 0.0);
                }
                if let Some(full_in_s) = number(evidence, "filesystem.full_in_s") {
                    like.size("nearness to full", 1.0 / full_in_s.max(1.0), 0.0);
                }
            }
            "resource.exhausting" => {
                if let Some(rate) = number(evidence, "resource.share_per_s") {
                    like.size("rate", rate, 0.0);
                }
                if let Some(full_in_s) = number(evidence, "resource.full_in_s") {
                    like.size("nearness to the end", 1.0 / full_in_s.max(1.0), 0.0);
                }
            }
            "slo.burn" => {
                if let Some(rate) = number(evidence, "slo.burn_rate") {
                    like.size("burn rate", rate, 0.0);
                }
            }
            "unit.restarting" => {
                if let Some(restarts) = number(evidence, "unit.restarts") {
                    like.size("restarts", restarts, 0.0);
                }
                like.same(evidence, &["unit.result"]);
            }
            "disk.full" => {
                if let Some(share) = number(evidence, "filesystem.inodes_used_share") {
                    like.size("want of inodes", 1.0 / (1.0 - share).max(1e-6), 0.0);
                } else {
                    let free = number(evidence, "filesystem.free_bytes").unwrap_or(0.0);
                    like.size("want of space", 1.0 / free.max(1.0), 0.0);
                }
            }
            "telemetry.clock_jump" => {
                if let Some(by_s) = number(evidence, "clock.jump_s") {
                    like.size("jump", by_s.abs(), 0.0);
                    like.facts.push(side(by_s));
                }
            }
            // It is there or not: when, and for how long by now, is no other matter.
            "telemetry.silent" | "telemetry.stuck" => {}
            "unit.failed" => like.same(evidence, &["unit.result"]),
            "file.drift" => like.same(evidence, &["file.sha256", "file.mode", "file.owner"]),
            drift if drift.rsplit('.').next() == Some("drift") => like.same(evidence, &["item.value"]),
            _ => like.everything(evidence),
        }
        like
    }

    fn size(&mut self, name: &str, value: f64, slack: f64) {
        if value.is_finite() {
            self.sizes.push(Size { name: name.to_owned(), value, slack, either_way: false });
        }
    }

    fn same(&mut self, evidence: &[Evidence], names: &[&str]) {
        let wanted = evidence.iter().filter(|it| names.contains(&it.name.as_str()));
        self.facts.extend(wanted.map(|it| (it.name.clone(), it.value.to_string())));
    }

    fn everything(&mut self, evidence: &[Evidence]) {
        let beside = [LABEL_EVIDENCE, RELATED_EVIDENCE];
        let passing = |name: &str| beside.iter().any(|it| name.starts_with(it)) || PASSING.contains(&name);
        let telling = |it: &&Evidence| !passing(&it.name);
        for it in evidence.iter().filter(telling) {
            match it.value {
                Value::Number(_) | Value::Integer(_) => {
                    let value = number(evidence, &it.name).unwrap_or(0.0);
                    self.sizes.push(Size { name: it.name.clone(), value, slack: 0.0, either_way: true });
                }
                _ => self.facts.push((it.name.clone(), it.value.to_string())),
            }
        }
    }

    pub(super) fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What is other or clearly larger now than it was in this; `None`: nothing.
    pub(super) fn outgrown_by(&self, now: &Self) -> Option<String> {
        if let Some(what) = self.differs(now) {
            return Some(format!("{what} is another"));
        }
        let larger = |then: &Size, now: &Size| {
            let most = (then.value.abs() * LARGER).max(then.value.abs() + then.slack);
            let more = now.value.abs() > most;
            let less = then.either_way && then.value.abs() > now.value.abs() * LARGER;
            more || less || (then.either_way && then.value * now.value < 0.0)
        };
        let found = self.sizes.iter().zip(&now.sizes).find(|(then, now)| larger(then, now));
        found.map(|(then, now)| match now.value / then.value {
            times if times.is_finite() && times >= 1.0 => format!("{} is {times:.1} times as large", then.name),
            _ => format!("{} is {} instead of {}", then.name, short(now.value), short(then.value)),
        })
    }

    /// Whether what is now may be this come again, or more of it. Errs towards yes.
    pub(super) fn known_in(&self, now: &Self) -> bool {
        if self.differs(now).is_some() {
            return false;
        }
        let reached = |(then, now): (&Size, &Size)| then.either_way || now.value >= then.value / SMALLER;
        self.sizes.is_empty() || self.sizes.iter().zip(&now.sizes).any(reached)
    }

    /// The name of a fact that is not the same; a measure that is there once only is one.
    fn differs(&self, now: &Self) -> Option<String> {
        let other = |a: &Self, b: &Self| a.facts.iter().find(|it| !b.facts.contains(it)).map(|(name, _)| name.clone());
        let names = |it: &Self| it.sizes.iter().map(|size| size.name.clone()).collect::<Vec<_>>();
        let (then_names, now_names) = (names(self), names(now));
        let unmatched = || then_names.iter().zip(&now_names).find(|(a, b)| a != b).map(|(_, b)| b.clone());
        let counts = || (then_names.len() != now_names.len()).then(|| "what was measured".to_owned());
        other(self, now).or_else(|| other(now, self)).or_else(counts).or_else(unmatched)
    }
}

fn short(value: f64) -> String {
    crate::detect::said::number(value)
}
