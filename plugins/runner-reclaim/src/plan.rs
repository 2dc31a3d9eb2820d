//! The plan: exact entries by root, what is lost with each, and the numbers.

use std::collections::BTreeSet;

use holdfast_plugin_sdk::step::{self, Reclaim};
use holdfast_plugin_sdk::{Error, Finding, HostPath, Plan, evidence, text};

use crate::choose::{Chosen, Space};
use crate::group::Measured;

/// What was kept and why, for the person who reads the plan: this many reasons are shown.
const REASONS_MAX: usize = 20;
/// The file system's own figures are some seconds old.
const SETTLE_MS: u32 = 15_000;

/// What the plan is written from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Absolute roots; every chosen group lies below exactly one of them.
    pub roots: &'a [HostPath],
    /// What goes.
    pub chosen: &'a Chosen,
    /// `path: why` of what stays.
    pub kept: &'a [String],
    /// Groups that there was no time to measure.
    pub unmeasured: usize,
    /// Before.
    pub space: Space,
    /// What must come back.
    pub needed: u64,
    /// Now.
    pub now_ns: u64,
}

/// Writes the plan; `None` when nothing goes.
pub fn write(finding: &Finding, facts: &Facts<'_>) -> Result<Option<Plan>, Error> {
    let chosen = facts.chosen;
    let summary = format!(
        "remove {} of the runner's old entries, which frees {} of {}",
        chosen.groups.len(),
        text::bytes(chosen.frees),
        finding.subject.name
    );
    let mut plan: Option<Plan> = None;
    for root in facts.roots {
        let groups: Vec<&Measured> = chosen.groups.iter().filter(|group| root.below(&group.path).is_some()).collect();
        if groups.is_empty() {
            continue;
        }
        let entries: Vec<Reclaim> = groups.iter().map(|group| entry(group)).collect::<Result<_, Error>>()?;
        let frees: u64 = groups.iter().map(|group| group.frees).sum();
        let newest = groups.iter().map(|group| group.newest()).max().unwrap_or_default();
        let because = format!(
            "{} of {} are free; {} entries below {root} free {}, and none was altered in the last {}",
            text::bytes(facts.space.free),
            text::bytes(facts.space.total),
            groups.len(),
            text::bytes(frees),
            text::span(facts.now_ns.saturating_sub(newest)),
        );
        let losses: BTreeSet<&str> =
            groups.iter().filter_map(|group| root.below(&group.path)).map(|below| loss(root.as_str(), below)).collect();
        let step = losses.into_iter().fold(step::reclaim(root, &entries)?.because(&because), step::Step::may_also);
        plan = Some(match plan {
            None => Plan::new(finding, &summary, step),
            Some(plan) => plan.then(step),
        });
    }
    let Some(plan) = plan else { return Ok(None) };
    let enough = chosen.frees >= facts.needed;
    let mut kept: Vec<String> = facts.kept.iter().take(REASONS_MAX).map(|reason| text::line(reason)).collect();
    if facts.kept.len() > REASONS_MAX {
        kept.push(format!("and {} more", facts.kept.len() - REASONS_MAX));
    }
    Ok(Some(
        plan.confidence(if enough { 0.9 } else { 0.4 })
            .settle_ms(SETTLE_MS)
            .evidence(evidence("filesystem.free_bytes", facts.space.free))
            .evidence(evidence("filesystem.total_bytes", facts.space.total))
            .evidence(evidence("reclaim.needed_bytes", facts.needed))
            .evidence(evidence("reclaim.frees_bytes", chosen.frees))
            .evidence(evidence("reclaim.is_enough", enough))
            .evidence(evidence("reclaim.kept", kept))
            .evidence(evidence("reclaim.unmeasured", facts.unmeasured as u64)),
    ))
}

fn entry(group: &Measured) -> Result<Reclaim, Error> {
    Ok(Reclaim {
        path: HostPath::new(group.path.as_str())?,
        files: group.files,
        bytes: group.bytes,
        newest_change_ns: group.newest(),
    })
}

/// What is lost, in words, by where it lies.
fn loss(root: &str, below: &str) -> &'static str {
    let first = below.split('/').next().unwrap_or_default();
    let within = |name: &str| root.rsplit('/').next() == Some(name) || first == name;
    if within("_diag") || within("pages") || within("blocks") {
        "Logs of past jobs are lost."
    } else if within("_tool") || within("_actions") {
        "Tools and actions are downloaded again by the next job that asks for them."
    } else if within("_temp") {
        "Temporary files of past jobs are lost."
    } else if root.contains("cache") {
        "Caches are filled again: the next jobs take longer."
    } else {
        "Checkouts and build outputs are lost: the next job of such a repository begins with a fresh clone."
    }
}
