//! Forgetting telemetry by subject: asked for by an admin, recorded before it is done, and what came of it afterwards.

use holdfast_core::model::audit::AuditKind;
use tokio::sync::oneshot;

use super::{Command, Engine, Moment};
use crate::answers::PurgeAnswer;
use crate::data::Forgotten;
use crate::event_loop::refuse;
use crate::request::{Answer, Caller, Refusal, RefusalKind};
use crate::store::{PurgeFilter, Writes};

impl Engine {
    /// Kept episodes go with the samples. What was found is on record: a purge that found nothing does not look like one that did.
    pub(super) fn on_purged(
        &mut self,
        by: &str,
        result: Result<Forgotten, String>,
        answer: oneshot::Sender<Answer>,
        now: Moment,
    ) {
        let (body, reply) = match result {
            Err(error) => {
                (serde_json::json!({ "purge_failed": error }), Err(Refusal::new(RefusalKind::Failed, error.clone())))
            }
            Ok(Forgotten { purged, episodes, findings, files }) => {
                let kept = episodes.iter().map(|finding| (finding.clone(), None)).collect();
                let told = PurgeAnswer {
                    series: purged.series,
                    samples: purged.samples,
                    changes: purged.changes,
                    episodes: episodes.len() as u64,
                    findings,
                    set_aside: files,
                };
                if let Err(refusal) = self.record(Writes { episodes: kept, ..Writes::default() }) {
                    return refuse(answer, refusal);
                }
                let body = serde_json::json!({ "purged": {
                    "series": told.series, "samples": told.samples, "changes": told.changes, "episodes": told.episodes,
                } });
                (body, Ok(serde_json::json!(told)))
            }
        };
        let audit = vec![Self::draft(now, AuditKind::Data, by, "telemetry", body)];
        self.ledger.soon(Writes { audit, ..Writes::default() }, now);
        let _ = answer.send(reply);
    }

    /// Telemetry about a subject is forgotten; that it was stays on record, with whoever wanted it, but not its values.
    pub(super) fn purge(
        &mut self,
        caller: &Caller,
        filter: PurgeFilter,
        reason: &str,
        answer: oneshot::Sender<Answer>,
        (now, out): (Moment, &mut Vec<Command>),
    ) {
        if filter == PurgeFilter::default() || reason.trim().is_empty() {
            let refusal = Refusal::new(RefusalKind::Usage, "purging needs a subject and a reason")
                .hint("holdfast data purge --where enduser.id=alice --reason 'request 17'");
            return refuse(answer, refusal);
        }
        let names: Vec<&str> = filter.where_.iter().map(|(name, _)| name.as_str()).collect();
        let body = serde_json::json!({ "purge": { "attributes": names, "target": filter.target.is_some() }, "reason": reason });
        let audit = vec![Self::draft(now, AuditKind::Data, &caller.name, "telemetry", body)];
        if let Err(refusal) = self.record(Writes { audit, ..Writes::default() }) {
            return refuse(answer, refusal);
        }
        self.changes.retain(|change| !filter.is_about(change));
        out.push(Command::Purge { by: caller.name.clone(), filter, answer });
    }
}
