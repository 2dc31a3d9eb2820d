//! Settings of the detectors over those of the configuration: versions, each on record, each reversible.
//!
//! Nobody but a person applies one, and the agent convinces itself first: kept incidents are replayed under the settings of now and
//! under the new ones, and settings that lose one are refused, whoever wants them. Where not all of them could be replayed, the answer and
//! the record say how many were not.

use holdfast_core::detect::DetectConfig;
use holdfast_core::detect::tuning::Tuning;
use holdfast_core::model::FindingId;
use holdfast_core::model::audit::AuditKind;
use tokio::sync::oneshot;

use super::{Command, Engine, Moment, WantedTuning};
use crate::answers::{Replayed, TuningVersion};
use crate::event_loop::refuse;
use crate::request::{Answer, Caller, Refusal, RefusalKind};
use crate::store::{StateReader, StoreError, TUNING_SETTING, Writes};

/// Versions that are remembered; all are in the audit chain.
const VERSIONS_MAX: usize = 100;

/// The configuration's own settings, and every version over them, the oldest first.
#[derive(Debug)]
pub(super) struct Tunings {
    base: DetectConfig,
    versions: Vec<TuningVersion>,
}

impl Tunings {
    pub(super) fn load(reader: &StateReader, base: &DetectConfig) -> Result<Self, StoreError> {
        Ok(Self { base: base.clone(), versions: reader.tunings()? })
    }

    pub(super) fn current(&self) -> Option<&TuningVersion> {
        self.versions.last()
    }

    fn tuning(&self) -> Tuning {
        self.current().map(|it| it.tuning.clone()).unwrap_or_default()
    }

    /// The settings in force.
    pub(super) fn in_force(&self) -> DetectConfig {
        self.tuning().apply(&self.base)
    }
}

impl Engine {
    /// Somebody wants other settings in force.
    pub(super) fn tune(&mut self, wanted: WantedTuning, answer: oneshot::Sender<Answer>, out: &mut Vec<Command>) {
        if wanted.reason.trim().is_empty() {
            return refuse(answer, Refusal::new(RefusalKind::Usage, "tuning needs a reason"));
        }
        let problems = wanted.tuning.problems(&self.tuning.base);
        if !problems.is_empty() {
            return refuse(answer, Refusal::new(RefusalKind::Usage, problems.join("; ")));
        }
        if wanted.tuning == self.tuning.tuning() {
            let message = "these settings are in force already";
            return refuse(
                answer,
                Refusal::new(RefusalKind::Conflict, message).hint("`holdfast tune show` lists them"),
            );
        }
        let (before, after) = (self.tuning.in_force(), wanted.tuning.apply(&self.tuning.base));
        let (wanted, before, after) = (Box::new(wanted), Box::new(before), Box::new(after));
        out.push(Command::ProveTuning { wanted, before, after, answer });
    }

    /// The settings of an earlier version are to be in force again.
    pub(super) fn revert_tuning(
        &mut self,
        caller: &Caller,
        to: Option<u64>,
        reason: String,
        answer: oneshot::Sender<Answer>,
        out: &mut Vec<Command>,
    ) {
        let Some(current) = self.tuning.current() else {
            let refusal = Refusal::new(RefusalKind::Conflict, "nothing was tuned: the configuration alone is in force");
            return refuse(answer, refusal);
        };
        // The one before; before the first one there was the configuration alone.
        let before = || self.tuning.versions.iter().rev().nth(1).map_or(0, |it| it.number);
        let number = to.unwrap_or_else(before);
        let found = self.tuning.versions.iter().find(|it| it.number == number).map(|it| it.tuning.clone());
        let tuning = match found {
            Some(tuning) => tuning,
            None if number == 0 => Tuning::default(),
            None => {
                let message = format!("there is no tuning {number}; {} is in force", current.number);
                let refusal = Refusal::new(RefusalKind::NotFound, message);
                return refuse(answer, refusal.hint("`holdfast tune show --all` lists those that there are"));
            }
        };
        let by = caller.name.clone();
        self.tune(WantedTuning { tuning, by, reason, proof: None, reverted_to: Some(number) }, answer, out);
    }

    /// Kept incidents were replayed under the wanted settings.
    pub(super) fn on_tuning_proved(
        &mut self,
        wanted: WantedTuning,
        replayed: Result<Replayed, String>,
        answer: oneshot::Sender<Answer>,
        now: Moment,
    ) {
        let reply = match replayed {
            Err(why) => Err(Refusal::new(RefusalKind::Failed, format!("nothing was altered: {why}"))),
            Ok(Replayed { lost, .. }) if !lost.is_empty() => {
                let names: Vec<&str> = lost.iter().map(FindingId::as_str).collect();
                let message = format!(
                    "nothing was altered: with these settings {} would not be found any more",
                    names.join(", ")
                );
                Err(Refusal::new(RefusalKind::Conflict, message)
                    .hint("they are labelled true-positive; `holdfast findings episodes` lists what is kept of them"))
            }
            Ok(Replayed { not_replayed, .. }) => self.put_in_force(wanted, not_replayed, now),
        };
        let _ = answer.send(reply);
    }

    fn put_in_force(&mut self, wanted: WantedTuning, not_replayed: u64, now: Moment) -> Answer {
        let before = self.tuning.tuning();
        let WantedTuning { tuning, by, mut reason, proof, reverted_to } = wanted;
        self.config.redactor.line(&mut reason);
        let version = TuningVersion {
            number: self.tuning.current().map_or(0, |it| it.number) + 1,
            differences: tuning.differences(&before),
            tuning,
            by,
            at: now.wall,
            reason,
            proof,
            reverted_to,
            not_replayed,
        };
        let mut versions = self.tuning.versions.clone();
        versions.push(version.clone());
        versions.drain(..versions.len().saturating_sub(VERSIONS_MAX));
        let body = serde_json::json!({
            "version": version.number, "before": before, "after": version.tuning, "differences": version.differences,
            "reason": version.reason, "proof": version.proof, "reverted_to": version.reverted_to,
            "not_replayed": version.not_replayed,
        });
        let audit = vec![Self::draft(now, AuditKind::Tuning, &version.by, "detection", body)];
        let settings = vec![(TUNING_SETTING.to_owned(), serde_json::json!(versions))];
        self.record(Writes { settings, audit, ..Writes::default() })?;
        self.tuning.versions = versions;
        self.config.detect = self.tuning.in_force();
        self.detectors.reconfigure(&self.config.detect);
        tracing::info!(version = version.number, by = version.by, reason = version.reason, "Detection was tuned.");
        Ok(serde_json::json!(version))
    }
}
