//! What was accepted at an earlier version is accepted again. Files are left as they are: what they differ in now is drift.

use holdfast_core::model::ItemName;
use holdfast_core::model::audit::AuditKind;

use super::{Command, Engine, Moment};
use crate::answers::RestoredBaseline;
use crate::event_loop::ReadFor;
use crate::request::{Answer, Caller, Refusal, RefusalKind};
use crate::store::{BaselineFile, VERSIONS_READ_MAX, Writes, together};

/// Subjects that the audit entry names; it counts all.
const NAMED_MAX: usize = 100;

impl Engine {
    pub(super) fn restore_baseline(
        &mut self,
        caller: &Caller,
        version: u64,
        reason: &str,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> Answer {
        if reason.trim().is_empty() {
            return Err(Refusal::new(RefusalKind::Usage, "restoring a baseline needs a reason"));
        }
        let hint = "`holdfast baseline list` shows the versions";
        let newest = self.reader.baseline_version()?;
        if version > newest {
            return Err(Refusal::new(RefusalKind::NotFound, format!("there is no version {version}")).hint(hint));
        }
        let oldest = self.reader.baseline_reach()?;
        if version < oldest {
            let message = format!("what was accepted at version {version} is kept no more; the oldest is {oldest}");
            return Err(Refusal::new(RefusalKind::NotFound, message).hint(hint));
        }
        let altered = together(&self.reader.baseline_versions(version, VERSIONS_READ_MAX)?);
        if altered.is_empty() {
            let message = format!("what was accepted at version {version} is accepted now");
            return Err(Refusal::new(RefusalKind::Conflict, message).hint(hint));
        }
        let mut why = format!("restored to version {version}: {reason}");
        self.config.redactor.line(&mut why);
        let (mut writes, mut items) = (Writes::default(), Vec::new());
        for (subject, (before, _)) in &altered {
            if let Ok(name) = subject.parse::<ItemName>() {
                items.push((name, before.as_ref().and_then(|it| it.as_str()).map(str::to_owned)));
                continue;
            }
            let Some(before) = before else {
                writes.baselines_removed.push(subject.clone());
                continue;
            };
            let file: BaselineFile = serde_json::from_value(before.clone()).map_err(|error| {
                Refusal::new(RefusalKind::Failed, format!("what was accepted of {subject} cannot be read: {error}"))
            })?;
            let (accepted_by, reason) = (caller.name.clone(), why.clone());
            writes.baselines.push(BaselineFile { accepted_at: now.wall, accepted_by, reason, ..file });
        }
        let (settings, accepted_before) = self.accept_items_as(&items);
        writes.settings = settings;
        let subjects: Vec<String> = altered.keys().cloned().collect();
        let named: Vec<&String> = subjects.iter().take(NAMED_MAX).collect();
        let body = serde_json::json!({
            "restored": version, "reason": why, "subjects": named, "altered": subjects.len(),
        });
        writes.audit.push(Self::draft(now, AuditKind::Baseline, &caller.name, "baseline", body));
        let (files, gone) = (writes.baselines.clone(), writes.baselines_removed.clone());
        if let Err(refusal) = self.record(writes) {
            self.accept_as_before(accepted_before);
            return Err(refusal);
        }
        let paths: Vec<String> = files.iter().map(|it| it.state.path.clone()).chain(gone.iter().cloned()).collect();
        for path in &gone {
            self.baselines.remove(path);
        }
        self.baselines.extend(files.into_iter().map(|it| (it.state.path.clone(), it)));
        let names: Vec<ItemName> = items.into_iter().map(|(name, _)| name).collect();
        self.judge_items_now(&names, now, out);
        if !paths.is_empty() {
            // What lies there now was just refused: no deployment and no package brings it back.
            self.refused.extend(paths.iter().map(|path| (path.clone(), None)));
            self.read_for(paths, ReadFor::Look, out);
        }
        let number = self.reader.baseline_version()?;
        let (ends, subjects) =
            subjects.into_iter().partition(|it| altered.get(it).is_some_and(|(before, _)| before.is_none()));
        Ok(serde_json::json!(RestoredBaseline { version, number, subjects, ends }))
    }
}
