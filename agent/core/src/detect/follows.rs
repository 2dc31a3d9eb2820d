//! Whether anything still watches what an open finding of these methods is about.
//!
//! What a method has said is saved now and then, a finding at once: after the power went, or under other settings, a method may
//! not know that it has said something, and would never take it back. From the configuration and from what is measured this
//! says who is still there to speak; whether to close is for the caller, which knows for how long nothing was said.

use std::time::Duration;

use super::detectors::{Detectors, concerns};
use super::silence::SILENT_AFTER;
use super::{anomaly, disk, exhaust, series::Watched, slo, threshold};
use crate::model::{Finding, SeriesKey, Timestamp};

/// A method that sees a trouble says so within this time, beside what the trouble must last.
const SAID_WITHIN: Duration = Duration::from_mins(15);

/// Who watches what a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follows {
    /// Nobody: the configuration does not want it any more.
    Nobody,
    /// Somebody would, but nothing is measured at the moment.
    Silent,
    /// It is measured; if the trouble still stood, it would be said within this time.
    Within(Duration),
}

impl Detectors {
    /// Who watches what this finding is about; `None`: it is none of the methods here that found it.
    pub fn follows(&self, finding: &Finding, at: Timestamp) -> Option<Follows> {
        let name = finding.fingerprint.rsplit_once('|').map_or("", |(_, last)| last);
        Some(match finding.method.name.as_str() {
            threshold::METHOD => self.threshold(finding, name, at),
            anomaly::METHOD | anomaly::SPREAD_METHOD => match self.series_of(finding) {
                _ if !self.config.anomalies => Follows::Nobody,
                Some(watched) if !self.compared(&watched.key) => Follows::Nobody,
                watched => heard(watched.and_then(|it| it.last).map(|it| it.0), at),
            },
            "stillness" => match self.series_of(finding) {
                _ if !self.config.telemetry.report => Follows::Nobody,
                Some(watched) if !self.compared(&watched.key) => Follows::Nobody,
                watched => heard(watched.and_then(|it| it.last).map(|it| it.0), at),
            },
            // Both speak of what is not heard, so they speak as long as the agent listens.
            "silence" | "clock_jump" if !self.config.telemetry.report => Follows::Nobody,
            "silence" => Follows::Within(self.config.telemetry.silent_after.0 + SAID_WITHIN),
            "clock_jump" => Follows::Within(SAID_WITHIN),
            disk::METHOD_FULL | disk::METHOD_FILLING => {
                let name = finding.target.name.as_str();
                if self.config.disk.ignore.iter().any(|it| it == name) {
                    return Some(Follows::Nobody);
                }
                heard(self.mounts.iter().find(|it| it.name == name).and_then(|it| it.at), at)
            }
            exhaust::METHOD if self.config.exhaustion.ignores(name) => Follows::Nobody,
            exhaust::METHOD => heard(self.groups.heard(name), at),
            slo::METHOD if self.config.slo.iter().all(|it| it.name != name) => Follows::Nobody,
            // Events may be rare: an objective judges when there are some, and says when there are none.
            slo::METHOD => {
                let objective = self.config.slo.iter().find(|it| it.name == name);
                let part = |key: &SeriesKey| objective.is_some_and(|it| slo::role(it, key).is_some());
                let last = self.series.iter().filter(|it| part(&it.key)).filter_map(|it| it.last).map(|it| it.0).max();
                heard(last, at)
            }
            _ => return None,
        })
    }

    fn threshold(&self, finding: &Finding, name: &str, at: Timestamp) -> Follows {
        let Some(limit) = self.limits.iter().find(|it| it.name == name) else { return Follows::Nobody };
        let watched = self.series_of(finding);
        if watched.is_some_and(|it| !concerns(limit, &it.key)) {
            return Follows::Nobody;
        }
        match heard(watched.and_then(|it| it.last).map(|it| it.0), at) {
            Follows::Within(soon) => Follows::Within(soon + limit.sustained.0),
            other => other,
        }
    }

    fn series_of(&self, finding: &Finding) -> Option<&Watched> {
        let key = finding.evidence("series.key").map_or_else(|| finding.target.name.clone(), ToString::to_string);
        self.series.iter().find(|it| it.key.to_string() == key)
    }
}

fn heard(last: Option<Timestamp>, at: Timestamp) -> Follows {
    match last {
        Some(last) if at.since(last) <= SILENT_AFTER => Follows::Within(SAID_WITHIN),
        _ => Follows::Silent,
    }
}
