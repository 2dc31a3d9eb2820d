//! What plugins say becomes findings, and what none of them says any more ends with the reason: it is not known to be gone.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use holdfast_core::model::{Detection, Finding, FindingId, Presence};
use holdfast_plugin_host::CheckReport;

use super::findings::detection_of;
use super::{Command, Engine, Moment};

/// A rule of a check is named in each of its reports, as evaluated or as skipped. One that is in none of so many in a row was dropped,
/// most often by an upgrade.
const UNSAID_MAX: u32 = 10;

/// In how many reports in a row a plugin has not named the rule of one of its findings.
#[derive(Debug, Default)]
pub(super) struct Unsaid(BTreeMap<String, BTreeMap<String, u32>>);

impl Unsaid {
    /// Counts a report; gives the plugin's findings whose rules were not named for too long.
    fn count<'f>(
        &mut self,
        plugin: &str,
        report: &CheckReport,
        findings: impl Iterator<Item = &'f Finding>,
    ) -> Vec<(FindingId, String)> {
        let named: HashSet<&str> =
            report.evaluated.iter().chain(report.skipped.iter().map(|(rule, _)| rule)).map(String::as_str).collect();
        let unnamed: Vec<&Finding> =
            findings.filter(|it| finder(it) == Some(plugin) && !named.contains(it.kind.as_str())).collect();
        let rules: BTreeSet<&str> = unnamed.iter().map(|it| it.kind.as_str()).collect();
        let mut counts = self.0.remove(plugin).unwrap_or_default();
        counts.retain(|rule, _| rules.contains(rule.as_str()));
        for rule in rules {
            *counts.entry(rule.to_owned()).or_default() += 1;
        }
        let over = |it: &&Finding| counts.get(&it.kind).is_some_and(|count| *count >= UNSAID_MAX);
        let dropped = unnamed.into_iter().filter(over).map(|it| (it.id.clone(), it.kind.clone())).collect();
        if !counts.is_empty() {
            self.0.insert(plugin.to_owned(), counts);
        }
        dropped
    }
}

/// The plugin that has found this.
fn finder(finding: &Finding) -> Option<&str> {
    finding.method.name.strip_prefix("plugin:")
}

impl Engine {
    /// What plugins keep becomes durable, what was added or replaced is on record, and a benched plugin is a finding.
    pub(super) fn observe_plugins(&mut self, now: Moment, out: &mut Vec<Command>) {
        self.record_plugins(now);
        for detection in self.plugins.detections(now.wall) {
            self.observe(detection, now, out);
        }
        self.end_what_nobody_says(now, out);
    }

    /// Findings of plugins, and about them, that nobody says any more.
    fn end_what_nobody_says(&mut self, now: Moment, out: &mut Vec<Command>) {
        let about = |it: &Finding| it.kind.starts_with("plugin.") && it.target.kind == "plugin";
        let silent = |it: &Finding| {
            let plugin = finder(it).or_else(|| about(it).then_some(it.target.name.as_str()))?;
            Some((it.id.clone(), self.plugins.silent(plugin)?))
        };
        let ended: Vec<_> = self.lifecycle.open().chain(self.lifecycle.suppressed()).filter_map(silent).collect();
        for (id, why) in ended {
            self.end_finding(&id, &why, now, out);
        }
    }

    /// Ends a finding without its measure's word, for this reason.
    pub(super) fn end_finding(&mut self, id: &FindingId, why: &str, now: Moment, out: &mut Vec<Command>) {
        if let Some(finding) = self.lifecycle.end(id, why, now.wall) {
            self.resolved(finding, Some(why), now, out);
        }
    }

    /// Takes a check's report: what it found, that what it no longer finds is gone, and that it looks for something no more.
    pub(super) fn take_report(&mut self, plugin: &str, report: CheckReport, now: Moment, out: &mut Vec<Command>) {
        let method = format!("plugin:{plugin}");
        let found: std::collections::HashSet<String> = report.detections.iter().map(Detection::fingerprint).collect();
        // A rule that was skipped anywhere says nothing about what it did not see.
        let skipped = |kind: &str| report.skipped.iter().any(|(rule, _)| rule == kind);
        let looked_at = |kind: &str| report.evaluated.iter().any(|rule| rule == kind) && !skipped(kind);
        let gone: Vec<Finding> = self
            .lifecycle
            .open()
            .filter(|it| it.method.name == method && looked_at(&it.kind) && !found.contains(&it.fingerprint))
            .cloned()
            .collect();
        let dropped = self.unsaid.count(plugin, &report, self.lifecycle.open().chain(self.lifecycle.suppressed()));
        for mut detection in report.detections {
            detection.cause = self.own.cause_of(&detection.target, now.mono);
            self.observe(detection, now, out);
        }
        for finding in gone {
            let detection = Detection { presence: Presence::Cleared, ..detection_of(&finding, now) };
            self.observe(detection, now, out);
        }
        for (id, kind) in dropped {
            let why = format!(
                "plugin {plugin} has named the rule {kind} in none of its last {UNSAID_MAX} reports, neither as evaluated nor as \
                 skipped, so nobody looks any more"
            );
            self.end_finding(&id, &why, now, out);
        }
    }
}
