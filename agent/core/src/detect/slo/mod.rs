//! `slo.burn`: an objective's error budget is being spent too fast.
//!
//! After "The Site Reliability Workbook" (Google, 2018), chapter 5: several windows, each with its own burn rate, and a shorter one beside
//! each that says whether it is still going on. An error budget is what the objective leaves: 0.1 % of events for 99.9 %. A burn rate of 1
//! spends it exactly in the objective's window. **A ratio of few events is no ratio:** a window counts only with enough events, and by the
//! lower end of Wilson's interval, so one failed request at night is inconclusive and never an alarm. No event is neither good nor bad.
//!
//! Pure, O(1) a sample; 7 KB an objective.

mod wilson;
mod windows;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::confidence;
use super::config::{Objective, Part};
use super::said::{Said, number};
use crate::model::{
    Class, Detection, Evidence, Method, MetricKind, Presence, SeriesKey, Severity, Target, Timestamp, has_all,
};
use windows::{Count, Windows};

const KIND: &str = "slo.burn";
pub(super) const METHOD: &str = "burn_rate";
const VERSION: u32 = 1;
/// Rates are added up over at most so much between two samples, and counters over at most so much.
const GAP_S: f64 = 300.0;
/// Events that a long window must have seen.
const EVENTS_MIN: f64 = 100.0;
/// Errors that it must have seen: two may be anybody's.
const ERRORS_MIN: f64 = 3.0;

/// A long and a short window, and how fast the budget of a 30-day objective is spent in them: in 1 h 2 %, in 6 h 5 %, in 1 d
/// and in 3 d 10 %.
struct Pair {
    long_s: u64,
    short_s: u64,
    /// Part of the budget that is gone when the rate has stood for the long window.
    spent: f64,
    severity: Severity,
}

const PAIRS: [Pair; 4] = [
    Pair { long_s: 3_600, short_s: 300, spent: 0.02, severity: Severity::Critical },
    Pair { long_s: 21_600, short_s: 1_800, spent: 0.05, severity: Severity::High },
    Pair { long_s: 86_400, short_s: 7_200, spent: 0.10, severity: Severity::Medium },
    Pair { long_s: 259_200, short_s: 21_600, spent: 0.10, severity: Severity::Low },
];

/// How far back events are remembered.
const KNOWN_S: u64 = 259_200;

/// Which part of an objective a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Role {
    /// All events.
    Total,
    /// Those that failed.
    Errors,
    /// Those that went well.
    Good,
    /// The share that failed.
    ErrorRatio,
}

/// What a series is to an objective.
pub(super) fn role(objective: &Objective, key: &SeriesKey) -> Option<Role> {
    let is = |part: &Part| part.metric == key.metric && has_all(&key.attributes, &part.where_);
    let of = |part: &Option<Part>, role| part.as_ref().filter(|it| is(it)).map(|_| role);
    of(&objective.errors, Role::Errors)
        .or_else(|| of(&objective.good, Role::Good))
        .or_else(|| of(&objective.error_ratio, Role::ErrorRatio))
        .or_else(|| is(&objective.total).then_some(Role::Total))
}

/// One objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Slo {
    /// Its name; its place in the configuration is looked up after a restart.
    pub(super) name: String,
    windows: Windows,
    /// Gathered of the moment under way.
    now: Gathered,
    /// Since when a pair burns.
    since: Option<Timestamp>,
    pub(super) said: Said,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Gathered {
    total: f64,
    errors: Option<f64>,
    good: Option<f64>,
    ratio: Option<f64>,
}

/// A pair that burns, or would if there were enough events.
struct Burning<'p> {
    pair: &'p Pair,
    /// Burn rates: limit, in the long window at least, there by the plain ratio, in the short window. Of a long window that was watched in
    /// part only, the part counts: what is spent of the budget is what matters.
    limit: f64,
    least: f64,
    long_rate: f64,
    short_rate: f64,
    long: Count,
    short: Count,
}

impl Slo {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            windows: Windows::default(),
            now: Gathered::default(),
            since: None,
            said: Said::default(),
        }
    }

    /// What a series counted between two samples: events of a counter, a rate times the time of a gauge, or a share.
    pub(super) fn put(
        &mut self,
        role: Role,
        kind: MetricKind,
        before: Option<(Timestamp, f64)>,
        at: Timestamp,
        raw: f64,
    ) {
        if role == Role::ErrorRatio {
            self.now.ratio = Some(raw.clamp(0.0, 1.0));
            return;
        }
        let Some((then, last)) = before.filter(|(then, _)| at > *then) else { return };
        let step_s = at.since(then).as_secs_f64();
        if step_s > GAP_S {
            return;
        }
        let events = match kind {
            // What it counted since it began again is counted, too.
            MetricKind::Counter if raw < last => raw,
            MetricKind::Counter => raw - last,
            MetricKind::Gauge => raw * step_s,
        };
        let events = events.clamp(0.0, 1e15);
        match role {
            Role::Total => self.now.total += events,
            Role::Errors => *self.now.errors.get_or_insert(0.0) += events,
            Role::Good => *self.now.good.get_or_insert(0.0) += events,
            Role::ErrorRatio => {}
        }
    }

    /// All samples of one moment are in.
    pub(super) fn step(&mut self, objective: &Objective, at: Timestamp, out: &mut Vec<Detection>) {
        let Gathered { total, errors, good, ratio } = std::mem::take(&mut self.now);
        let errors = errors
            .or_else(|| good.map(|good| total - good))
            .or_else(|| ratio.map(|ratio| ratio * total))
            .unwrap_or(0.0)
            .clamp(0.0, total.max(0.0));
        if total > 0.0 {
            self.windows.add(at, Count { total, errors });
        }
        if self.windows.turned(at) {
            self.judge(objective, at, out);
        }
    }

    fn burning<'p>(&self, objective: &Objective, pair: &'p Pair, at: Timestamp) -> Burning<'p> {
        let (long, short) = (self.windows.sum(at, pair.long_s), self.windows.sum(at, pair.short_s));
        let budget = objective.budget();
        // The rate that spends this part of the budget in the long window.
        let limit = pair.spent * objective.window.0.as_secs_f64() / pair.long_s as f64;
        let rate = |count: &Count| if count.total > 0.0 { count.errors / count.total / budget } else { 0.0 };
        let covered = self.windows.covered(at, pair.long_s);
        let least = covered * wilson::interval(long.errors, long.total).0 / budget;
        Burning { pair, limit, least, long_rate: covered * rate(&long), short_rate: rate(&short), long, short }
    }

    /// The share of the window's budget that is spent, as far as the last days tell: at least this much, at most 1.
    fn spent(&self, objective: &Objective, at: Timestamp) -> f64 {
        let window_s = objective.window.0.as_secs();
        let known_s = window_s.min(KNOWN_S);
        let count = self.windows.sum(at, known_s);
        let rate = if count.total > 0.0 { count.errors / count.total / objective.budget() } else { 0.0 };
        let share = known_s as f64 / window_s.max(1) as f64;
        (self.windows.covered(at, known_s) * rate * share).clamp(0.0, 1.0)
    }

    fn judge(&mut self, objective: &Objective, at: Timestamp, out: &mut Vec<Detection>) {
        let all: Vec<Burning<'_>> = PAIRS
            .iter()
            .filter(|pair| pair.long_s <= objective.window.0.as_secs())
            .map(|pair| self.burning(objective, pair, at))
            .collect();
        let burns = |it: &&Burning<'_>| {
            it.long.total >= EVENTS_MIN
                && it.long.errors >= ERRORS_MIN
                && it.least > it.limit
                && it.short.total > 0.0
                && it.short_rate > it.limit
        };
        if let Some(worst) = all.iter().find(burns) {
            let severity = worst.pair.severity;
            self.since.get_or_insert(at.minus(std::time::Duration::from_secs(worst.pair.short_s)));
            if self.said.due(at, severity) {
                out.push(self.detection(objective, worst, Presence::Present, at));
            }
            return;
        }
        if !self.said.present {
            self.since = None;
            return;
        }
        let Some(first) = all.first() else { return };
        // Nothing happens any more: nobody can say whether it would go well.
        if first.short.total <= 0.0 {
            if self.said.silent() {
                out.push(self.detection(objective, first, Presence::Inconclusive, at));
            }
            return;
        }
        out.push(self.detection(objective, first, Presence::Cleared, at));
        self.said.cleared();
        self.since = None;
    }

    fn detection(&self, objective: &Objective, it: &Burning<'_>, presence: Presence, at: Timestamp) -> Detection {
        let name = &objective.name;
        let hours = it.pair.long_s / 3_600;
        let title = match presence {
            Presence::Present => format!(
                "{name}: {} of {} events failed in {hours} h, {} times what {} allows",
                number(it.long.errors.round()),
                number(it.long.total.round()),
                number(it.long_rate),
                objective.objective
            ),
            Presence::Cleared => format!("{name}: the error budget is not spent too fast any more"),
            Presence::Inconclusive => format!("{name}: there are no events to judge by any more"),
        };
        let mut evidence = vec![
            Evidence::new("slo.name", name.as_str()),
            Evidence::new("slo.objective", objective.objective.0),
            Evidence::new("slo.window_s", objective.window.0.as_secs()),
            Evidence::new("slo.long_window_s", it.pair.long_s),
            Evidence::new("slo.short_window_s", it.pair.short_s),
            Evidence::new("slo.burn_rate", it.long_rate),
            Evidence::new("slo.burn_rate_low", it.least),
            Evidence::new("slo.burn_rate_short", it.short_rate),
            Evidence::new("slo.burn_rate_limit", it.limit),
            Evidence::new("slo.events", it.long.total),
            Evidence::new("slo.errors", it.long.errors),
        ];
        if presence == Presence::Present {
            // At this rate what is left of the budget is gone after this part of the window.
            let spent = self.spent(objective, at);
            let gone_s = objective.window.0.as_secs_f64() * (1.0 - spent) / it.long_rate.max(1e-9);
            evidence.push(Evidence::new("slo.budget_spent_share", (spent * 1e3).round() / 1e3));
            evidence.push(Evidence::new("slo.budget_gone_in_s", gone_s.min(1e12).round()));
        }
        Detection {
            kind: KIND.to_owned(),
            class: Class::Reliability,
            target: objective.target(),
            discriminator: name.clone(),
            presence,
            title,
            severity: it.pair.severity,
            confidence: confidence::of_threshold(),
            method: Method { name: METHOD.to_owned(), version: VERSION },
            evidence,
            began_at: self.since.unwrap_or(at),
            cause: None,
        }
    }
}

impl Objective {
    /// The service that all its parts are about, else the objective itself.
    fn target(&self) -> Target {
        match self.total.where_.get("service.name") {
            Some(service) => Target::new("service", service),
            None => Target::new("slo", &self.name),
        }
    }

    /// The share of events that may fail.
    pub(super) fn budget(&self) -> f64 {
        (1.0 - self.objective.0).max(1e-9)
    }
}
