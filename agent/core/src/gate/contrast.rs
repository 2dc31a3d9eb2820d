//! Whether what the units and the host use rose with the deployment, by more than it comes and goes without one.
//!
//! Placebo in time ([`Placebo`]): the same measure at many earlier moments says how large a difference is when nothing was deployed. So
//! the verdict may be asked for at every sample, and many series together are corrected for their number. A unit with a sibling
//! (another instance of its template that the deployment leaves alone) is judged by its difference from that: what moves both is no effect. Only
//! what is worse counts, only while it lasts, only when it is also large enough to matter, and not before [`LOOKS_MIN`] steps; what a start always
//! costs ([`SETTLING`]) not before two minutes. Without a past that is long enough for so many series this says nothing, and nothing hangs on it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{GateInputs, Outcome, Until, span};
use crate::model::{Evidence, Timestamp};
use crate::stats::placebo::{Placebo, Shift};

/// At most this part of deployments that changed nothing is called a rise.
const ALPHA: f64 = 0.05;
/// Steps after the finish before anything is said.
const LOOKS_MIN: usize = 3;
/// Steps after the finish that do not count for CPU time, disk I/O and stalls: every start costs these.
pub const SETTLING: usize = 12;
/// A rise by less than this part of the level before matters to nobody.
const PART_MIN: f64 = 0.1;
/// Series that one line names.
const NAMED_MAX: usize = 3;

/// One series, as the gate compares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContrastSeries {
    /// For people: `web.service memory`.
    pub name: String,
    /// UCUM unit of the value: `1`, `By`, `By/s`, `s`, `{task}`.
    pub unit: String,
    /// A rise by less matters to nobody.
    pub least: f64,
    /// The unit's own level, where the series is the difference from a sibling.
    #[serde(default)]
    pub level: Option<f64>,
    /// Steps since the finish, oldest first.
    pub after: Vec<f64>,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contrast {
    /// Length of a step.
    pub step: Duration,
    /// Steps before the start that were there to compare with.
    pub history: usize,
    /// The units that these were compared with, where the deployment's have siblings.
    pub siblings: Vec<String>,
    /// The series, in the order of the placebo's.
    pub series: Vec<ContrastSeries>,
    /// How they were without a deployment; `None`: too little is known, and `why` says what.
    pub placebo: Option<Placebo>,
    /// Why there is no placebo.
    pub why: String,
    /// What was left out, for people; empty: nothing.
    #[serde(default)]
    pub left_out: String,
}

pub(super) fn check(inputs: &GateInputs) -> Outcome {
    let none = |text: String| Outcome::inconclusive(text, Until::Settled).optional();
    let Some(finish) = inputs.deployment.finished_at else {
        return none("judged once the deployment has finished".to_owned());
    };
    let Some(contrast) = &inputs.contrast else {
        return none("no series of the units or of the host is there to compare with its past".to_owned());
    };
    let Some(placebo) = &contrast.placebo else { return none(contrast.why.clone()) };
    let past = span(steps(contrast, contrast.history));
    let count = contrast.series.len();
    if placebo.least_p() > ALPHA {
        return none(format!(
            "too short a past for so many series: of {count} over {past} nothing can be rarer than p {:.3}",
            placebo.least_p()
        ));
    }
    let is_seen = |index: usize, it: &ContrastSeries| it.after.len() >= LOOKS_MIN + placebo.settles(index);
    let shifts: Vec<(&ContrastSeries, Shift)> = contrast
        .series
        .iter()
        .enumerate()
        .filter(|(index, it)| is_seen(*index, it))
        .filter_map(|(index, it)| Some((it, placebo.shift(index, &it.after)?)))
        .collect();
    if shifts.is_empty() {
        let settling = (0..count).all(|it| placebo.settles(it) > 0);
        return if settling { none(from_then_on(contrast, count)) } else { too_early(inputs, contrast, finish) };
    }
    let looks = shifts.iter().map(|(it, _)| it.after.len()).max().unwrap_or_default();
    let mut numbers = vec![
        Evidence::new("contrast.series", contrast.series.len() as u64),
        Evidence::new("contrast.history_steps", contrast.history as u64),
        Evidence::new("contrast.step_s", contrast.step.as_secs_f64()),
        Evidence::new("contrast.looks", looks as u64),
        Evidence::new("contrast.shifts", shifts.iter().map(|(it, shift)| line(it, shift)).collect::<Vec<_>>()),
    ];
    if !contrast.siblings.is_empty() {
        numbers.push(Evidence::new("contrast.siblings", contrast.siblings.clone()));
    }
    let worse = |(it, shift): &&(&ContrastSeries, Shift)| {
        let level = it.level.unwrap_or(shift.before).abs();
        shift.p <= ALPHA && shift.lasts && shift.by > it.least && shift.by > PART_MIN * level
    };
    let mut risen: Vec<_> = shifts.iter().filter(worse).collect();
    risen.sort_by(|a, b| a.1.p.total_cmp(&b.1.p).then(b.1.scaled.total_cmp(&a.1.scaled)));
    let beside =
        if contrast.siblings.is_empty() { String::new() } else { format!(" beside {}", contrast.siblings.join(", ")) };
    let mut compared = format!("{} series compared with {past} of their past{beside}", shifts.len());
    let early = (0..count).filter(|it| placebo.settles(*it) > 0 && !is_seen(*it, &contrast.series[*it])).count();
    if early > 0 {
        compared = format!("{compared}; {}", from_then_on(contrast, early));
    }
    if !contrast.left_out.is_empty() {
        compared = format!("{compared}; {}", contrast.left_out);
    }
    if let Some((_, first)) = risen.first() {
        numbers.push(Evidence::new("contrast.p", first.p));
        let named: Vec<String> = risen.iter().take(NAMED_MAX).map(|(it, shift)| line(it, shift)).collect();
        return Outcome::fail(format!("more than it comes and goes: {}; {compared}", named.join("; "))).with(numbers);
    }
    let most =
        shifts.iter().max_by(|a, b| a.1.scaled.total_cmp(&b.1.scaled).then(a.1.by.abs().total_cmp(&b.1.by.abs())));
    let most = most.map(|(it, shift)| format!("; most moved {}", line(it, shift))).unwrap_or_default();
    let outcome = Outcome::pass(format!("{compared}: none rose more than it comes and goes{most}")).with(numbers);
    if inputs.window_over() { outcome } else { outcome.until(Until::At(finish.plus(inputs.limits.observe))) }
}

fn steps(contrast: &Contrast, count: usize) -> Duration {
    contrast.step.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

fn from_then_on(contrast: &Contrast, count: usize) -> String {
    format!("{count} series are judged from {} after the finish on", span(steps(contrast, SETTLING)))
}

fn too_early(inputs: &GateInputs, contrast: &Contrast, finish: Timestamp) -> Outcome {
    let wanted = steps(contrast, LOOKS_MIN);
    let text = format!("fewer than {LOOKS_MIN} steps of {} since the finish", span(contrast.step));
    // Two steps more than wanted: what is read every ten seconds may be late by one.
    let end = finish.plus(wanted.max(inputs.limits.observe) + contrast.step.saturating_mul(2));
    let until = if inputs.at < end { Until::At(end) } else { Until::Settled };
    Outcome::inconclusive(text, until)
}

/// `web.service memory rose by 120 MiB (80 to 160) from 300 MiB, p 0.012`.
fn line(series: &ContrastSeries, shift: &Shift) -> String {
    let (by, unit) = (shift.by, series.unit.as_str());
    let verb = if by < 0.0 { "fell" } else { "rose" };
    let (low, high) = (by - shift.give, by + shift.give);
    format!(
        "{} {verb} by {} ({} to {}) from {}, p {:.3}",
        series.name,
        amount(by.abs(), unit),
        amount(low * by.signum(), unit),
        amount(high * by.signum(), unit),
        amount(shift.before, unit),
        shift.p
    )
}

fn amount(value: f64, unit: &str) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    match unit {
        "By" => format!("{:.1} MiB", value / MIB),
        "By/s" => format!("{:.2} MiB/s", value / MIB),
        "1" => format!("{:.1} %", 100.0 * value),
        "s" => format!("{:.1} ms", 1000.0 * value),
        _ => format!("{value:.2} {}", unit.trim_matches(['{', '}'])),
    }
}
