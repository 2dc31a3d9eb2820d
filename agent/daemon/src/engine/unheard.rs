//! Open findings that nobody speaks of any more.
//!
//! A finding is durable at once, what its method has said is not: after a kill, another version or other settings the method may not
//! know that it has a finding, and would never say that it is over. So what is silent about a finding is looked for, and the finding
//! is closed with the reason when whoever would speak is gone, or watches and for long enough says nothing. Missing samples alone
//! close nothing for a day.

use std::time::Duration;

use holdfast_core::detect::Follows;
use holdfast_core::model::{Finding, Remediation, RemediationState};

use super::{Command, Engine, Moment};
use crate::event_loop::ReadFor;

/// How often they are looked for.
const EVERY: Duration = Duration::from_mins(1);
/// What the agent says of itself, and of what it looks at every minute, it says within this time of its start.
const SAID_WITHIN: Duration = Duration::from_mins(15);
/// All units are told within this time.
const UNITS_TOLD_WITHIN: Duration = Duration::from_mins(3);
/// Files that are watched are told within this time; the others are read once more.
const FILES_TOLD_WITHIN: Duration = Duration::from_mins(2);
/// What was not measured or looked at for so long is not expected any more.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

impl Engine {
    /// Closes what nobody speaks of any more, once a minute; at once where the settings were altered.
    pub(super) fn close_unheard(&mut self, altered: bool, now: Moment, out: &mut Vec<Command>) {
        if !altered && now.mono.saturating_sub(self.unheard_at) < EVERY {
            return;
        }
        self.unheard_at = now.mono;
        let standing: Vec<Finding> = self.lifecycle.open().chain(self.lifecycle.suppressed()).cloned().collect();
        for finding in standing {
            let heard = self.lifecycle.latest_presence(&finding.id).is_some();
            let forgotten = now.wall.since(finding.last_seen_at) >= FORGOTTEN_AFTER;
            // A plugin may be taken away at any time, and is not asked for its word then.
            let settled = heard && !forgotten && !altered && !finding.method.name.starts_with("plugin:");
            if settled || self.is_being_cured(&finding) {
                continue;
            }
            if let Some(why) = self.why_unheard(&finding, heard, now, out) {
                self.end_finding(&finding.id, &why, now, out);
            }
        }
    }

    fn is_being_cured(&self, finding: &Finding) -> bool {
        let acts = |it: &Remediation| {
            use RemediationState::{Running, Undoing, Verifying};
            it.finding == finding.id && matches!(it.state, Running | Verifying | Undoing)
        };
        self.remediations.values().any(acts)
    }

    /// Why a finding is to be closed; `None`: it is not.
    fn why_unheard(&self, finding: &Finding, heard: bool, now: Moment, out: &mut Vec<Command>) -> Option<String> {
        let up = now.mono.saturating_sub(self.started.mono);
        let forgotten = up >= SAID_WITHIN && now.wall.since(finding.last_seen_at) >= FORGOTTEN_AFTER;
        let nobody_said = || "since the agent started nothing has said that it still stands".to_owned();
        if let Some(follows) = self.detectors.follows(finding, now.wall) {
            return match follows {
                Follows::Nobody => Some("it is not watched any more: the configuration does not ask for it".to_owned()),
                Follows::Within(soon) if !heard && up >= soon => Some(nobody_said()),
                Follows::Silent if forgotten => Some("nothing has measured it for a day".to_owned()),
                Follows::Within(_) | Follows::Silent => None,
            };
        }
        let method = finding.method.name.as_str();
        if let Some(plugin) = method.strip_prefix("plugin:") {
            let gone = !self.plugins.statuses().iter().any(|it| it.id == plugin);
            return (gone && up >= SAID_WITHIN)
                .then(|| format!("plugin {plugin}, which found it, is not here any more"));
        }
        match method {
            "unit_failure" => {
                let told = self.units_problem.is_none() && !self.units.is_empty() && up >= UNITS_TOLD_WITHIN;
                let gone = told && !self.units.contains_key(&finding.target.name);
                gone.then(|| "systemd does not know the unit any more".to_owned())
            }
            "file_drift" => {
                // Once: what it is like says the rest, whether it is watched or not.
                if !heard && (FILES_TOLD_WITHIN..FILES_TOLD_WITHIN + EVERY).contains(&up) {
                    let paths = vec![finding.target.name.clone()];
                    out.push(Command::Read { paths, after_ms: 0, purpose: ReadFor::Look });
                }
                None
            }
            "item_drift" => forgotten.then(|| "it has not been looked at for a day".to_owned()),
            _ => (!heard && up >= SAID_WITHIN).then(nobody_said),
        }
    }
}
