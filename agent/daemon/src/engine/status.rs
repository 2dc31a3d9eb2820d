//! How the agent stands, as the engine knows it; exporters are added by whoever runs them.

use holdfast_core::model::{RemediationState, Says};

use super::{Engine, Moment};
use crate::status::{CollectorStatus, LabelsStatus, OwnCost, PolicyStatus, StatusDocument, StoreStatus, TuningStatus};

impl Engine {
    pub(super) fn status(&self, now: Moment) -> StatusDocument {
        let stats = self.telemetry.stats();
        let cpu_s = self.facts.own_cpu_s();
        let collectors = self.collectors.iter().map(|it| CollectorStatus {
            name: it.name.clone(),
            last_run: it.last_run,
            cost_us: u64::try_from(it.cost.as_micros()).unwrap_or(u64::MAX),
            runs: it.runs,
            errors: it.errors,
            failing: it.last_error.clone().filter(|_| it.failing),
            absent: it.absent.clone(),
        });
        let awaiting = |it: &&holdfast_core::model::Remediation| it.state == RemediationState::AwaitingApproval;
        StatusDocument {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.config.host.clone(),
            pid: std::process::id(),
            started_at: self.started_at(),
            uptime_s: now.mono.saturating_sub(self.started.mono).as_secs(),
            own: OwnCost {
                cpu_percent: self.facts.own_cpu_percent(),
                cpu_s,
                resident_bytes: self.facts.own_resident(),
                cpu_us_per_sample: cpu_s
                    .filter(|_| stats.samples_stored > 0)
                    .map(|s| s * 1e6 / stats.samples_stored as f64),
            },
            mode_ceiling: self.config.ceiling,
            paused: self.paused.clone(),
            collectors: collectors.collect(),
            plugins: self.plugins.statuses(),
            exports: self.plugins.exports(),
            receivers: self.plugins.receivers(),
            policy: PolicyStatus {
                digest: self.policy.digest().to_owned(),
                files: self.policy_files.clone(),
                rules: self.policy.rules().len() as u64,
            },
            open_findings: self.lifecycle.open().filter(|it| it.is_open()).count() as u64,
            series_watched: self.detectors.watched() as u64,
            series_left_out: self.detectors.left_out(),
            labels: self.labels_status(),
            tuning: self.tuning.current().filter(|it| !it.tuning.is_empty()).map(|it| TuningStatus {
                number: it.number,
                by: it.by.clone(),
                at: it.at,
                entries: it.tuning.entries(),
            }),
            open_incidents: self.incidents.len() as u64,
            pending_approvals: self.remediations.values().filter(awaiting).count() as u64,
            audit_head: self.ledger.head(),
            problems: self.problems(&stats),
            store: StoreStatus {
                bytes: stats.bytes,
                size_max_bytes: self.config.size_max_bytes,
                retention_s: self.config.retention.as_secs(),
                series: stats.series,
                samples_held: stats.samples_held,
                samples_stored: stats.samples_stored,
                lost: stats.lost,
                series_refused: stats.series_refused,
                oldest: stats.oldest,
                newest: stats.newest,
                failing: stats.failing,
            },
        }
    }

    fn labels_status(&self) -> LabelsStatus {
        let said = |says| self.labels.iter().filter(|it| it.says == says).count() as u64;
        LabelsStatus {
            false_positives: said(Says::FalsePositive),
            true_positives: said(Says::TruePositive),
            suppressed: self.lifecycle.suppressed().count() as u64,
        }
    }

    fn problems(&self, stats: &crate::store::TelemetryStats) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(why) = self.ledger.failing() {
            problems.push(format!("state cannot be written, nothing is acted on: {why}"));
        }
        if self.ledger.lost() > 0 {
            problems.push(format!("{} audit entries were lost while state could not be written", self.ledger.lost()));
        }
        if let Some(why) = &stats.failing {
            problems.push(format!("telemetry cannot be written: {why}"));
        }
        if let Some(why) = &self.units_problem {
            problems.push(format!("units are not watched: {why}"));
        }
        let (watched, left_out) = (self.detectors.watched(), self.detectors.left_out());
        if left_out > 0 {
            problems.push(format!(
                "{left_out} series are not compared with their past nor held to limits: {watched} are, and that is all there is room for"
            ));
        }
        for collector in self.collectors.iter().filter(|it| it.failing) {
            problems.push(format!(
                "collector {} fails: {}",
                collector.name,
                collector.last_error.as_deref().unwrap_or("?")
            ));
        }
        problems
    }
}
