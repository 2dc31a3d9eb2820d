//! Forgetting telemetry by subject: asked for by an admin, recorded before it is done.

use holdfast_core::model::audit::AuditKind;
use tokio::sync::oneshot;

use super::{Command, Engine, Moment};
use crate::event_loop::refuse;
use crate::request::{Answer, Caller, Refusal, RefusalKind};
use crate::store::{PurgeFilter, Writes};

impl Engine {
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
        out.push(Command::Purge { filter, answer });
    }
}
