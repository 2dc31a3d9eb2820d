//! Watched files: against what was accepted, and what explains the difference.

use std::collections::BTreeMap;

use holdfast_core::detect::drift::{self, Facts, Judgement};
use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{Attributes, Change, ChangeId, FileState, Target};
use tokio::sync::oneshot;

use super::{AGENT, Command, Engine, Moment};
use crate::answers::{BaselineAnswer, Skipped};
use crate::event_loop::{FileFound, ReadFor};
use crate::request::{Answer, Refusal, RefusalKind};
use crate::store::{BaselineFile, StoreError, Writes};
use crate::telemetry::Chain;

/// A package manager writes a file first and its digest last: so long it is waited before judging again.
const PACKAGE_SETTLES_MS: u64 = 3_000;
/// So often a package's file that does not fit it is read again before it counts as drift.
const SECOND_LOOKS_MAX: u32 = 2;
/// Longer than any deployment explains after its end.
pub(super) const EXPLAINED_WITHIN: std::time::Duration = std::time::Duration::from_hours(1);
/// A check is started this long after the last change below a release, so that one copy is one check.
const RELEASE_QUIET: std::time::Duration = std::time::Duration::from_millis(150);

impl Engine {
    /// A watched file was found in some state.
    pub(super) fn on_file(&mut self, found: FileFound, now: Moment, out: &mut Vec<Command>) {
        if !self.is_cleaned_away(&found, now, out) {
            self.on_watched(found, now, out);
        }
    }

    /// The same when it is no part of a release that may be cleaned away.
    pub(super) fn on_watched(&mut self, found: FileFound, now: Moment, out: &mut Vec<Command>) {
        let checks = self.release_checks(&found.state.path);
        if !checks.is_empty() {
            // A check that knows the release says more than a comparison with what was accepted.
            for plugin in checks {
                self.checks_due.insert(plugin, now.mono + RELEASE_QUIET);
            }
            // Mode and owner are in no manifest of digests.
            let same_content = |it: &BaselineFile| it.state.sha256 == found.state.sha256;
            if !self.baselines.get(&found.state.path).is_some_and(same_content) {
                return;
            }
        }
        match self.baselines.get(&found.state.path).cloned() {
            Some(accepted) => self.judge(&accepted, found, now, out),
            // Nothing is expected there any more, as after a restore: what was said of it ends.
            None if self.is_release_file(&found.state.path) => {
                if self.is_drifted(&Target::file(&found.state.path)) {
                    let as_it_is = BaselineFile { state: found.state.clone(), ..absent(found.state.path.clone(), now) };
                    self.judge(&as_it_is, found, now, out);
                }
            }
            // What appeared unexplained and is gone again ends its finding.
            None if found.state.sha256.is_none() && !self.is_drifted(&Target::file(&found.state.path)) => {}
            None if found.first => self.accept_first_sight(found, now),
            None => self.judge(&absent(found.state.path.clone(), now), found, now, out),
        }
    }

    /// Whether an open finding says that this file or item is not as accepted.
    pub(super) fn is_drifted(&self, target: &Target) -> bool {
        let kind = format!("{}.drift", target.kind);
        self.lifecycle.open().any(|it| it.kind == kind && it.is_open() && it.target == *target)
    }

    fn is_release_file(&self, path: &str) -> bool {
        self.deployments.values().any(|it| it.release_dir.as_deref().is_some_and(|dir| below(dir, path)))
    }

    fn release_checks(&self, path: &str) -> Vec<String> {
        if self.is_release_file(path) { self.plugins.checks_of_path(path) } else { Vec::new() }
    }

    fn accept_first_sight(&mut self, found: FileFound, now: Moment) {
        let mut writes = Writes::default();
        match self.accept(&found, AGENT, "first seen", now) {
            Ok(baseline) => {
                writes.audit.push(Self::draft(now, AuditKind::Baseline, AGENT, &found.state.path, body_of(&baseline)));
                self.baselines.insert(found.state.path, baseline.clone());
                writes.baselines.push(baseline);
                self.ledger.soon(writes, now);
            }
            Err(error) => tracing::warn!(path = found.state.path, error = %Chain(&error), "File content not kept."),
        }
    }

    pub(super) fn judge(&mut self, accepted: &BaselineFile, found: FileFound, now: Moment, out: &mut Vec<Command>) {
        let path = found.state.path.clone();
        let accepted_content = accepted.blob.as_ref().and_then(|digest| self.blobs.get(digest).ok().flatten());
        let cause = self.own.cause_of(&Target::file(&path), now.mono);
        let refused = self.is_refused(&found);
        let deployments = if refused { vec![] } else { self.deployments_since(found.at.minus(EXPLAINED_WITHIN)) };
        let judgement = drift::judge(&Facts {
            accepted: &accepted.state,
            accepted_content: accepted_content.as_deref(),
            current: &found.state,
            current_content: found.content.as_deref(),
            deployments: &deployments,
            package: found.package.as_ref().filter(|_| !refused),
            cause: cause.as_ref(),
            at: found.at,
        });
        match judgement {
            Judgement::Unchanged(detection) => {
                self.second_look.remove(&path);
                self.refused.remove(&path);
                self.observe(detection, now, out);
            }
            Judgement::Explained { by, reference } => {
                self.second_look.remove(&path);
                let own = cause.as_ref().is_some_and(|it| it.as_str() == reference);
                // An edit that nobody explained before is not explained by what came after it.
                if !own && self.is_drifted(&Target::file(&path)) {
                    return;
                }
                self.file_changed(accepted, &found, Some((by.clone(), reference.clone())), now);
                if !own {
                    self.accept_explained(found, &by, &reference, now, out);
                }
            }
            Judgement::Unexplained(detection) => {
                // Who owns the file is looked up first; and a package manager writes a file first and its digest last.
                let looks = self.second_look.entry(path.clone()).or_default();
                if *looks == 0 || (found.package.is_some() && *looks <= SECOND_LOOKS_MAX) {
                    let after_ms = if *looks == 0 { 0 } else { PACKAGE_SETTLES_MS };
                    *looks += 1;
                    out.push(Command::Read { paths: vec![path], after_ms, purpose: ReadFor::Look });
                    return;
                }
                self.second_look.remove(&path);
                if self.lifecycle.by_fingerprint(&detection.fingerprint()).is_none() {
                    self.file_changed(accepted, &found, None, now);
                }
                self.observe(detection, now, out);
            }
        }
    }

    /// Whether a person refused this very content; another one is another matter.
    fn is_refused(&mut self, found: &FileFound) -> bool {
        let Some(refused) = self.refused.get_mut(&found.state.path) else { return false };
        let content = found.state.sha256.as_deref().unwrap_or("absent");
        let is_it = *refused.get_or_insert_with(|| content.to_owned()) == content;
        if !is_it {
            self.refused.remove(&found.state.path);
        }
        is_it
    }

    /// What a known change explains becomes the accepted state, and is recorded with its explanation.
    fn accept_explained(&mut self, found: FileFound, by: &str, reference: &str, now: Moment, out: &mut Vec<Command>) {
        match self.accept(&found, AGENT, by, now) {
            Ok(baseline) => {
                let mut body = body_of(&baseline);
                body["explained_by"] = reference.into();
                let audit = vec![Self::draft(now, AuditKind::Baseline, AGENT, &found.state.path, body)];
                self.baselines.insert(found.state.path.clone(), baseline.clone());
                self.ledger.soon(Writes { baselines: vec![baseline.clone()], audit, ..Writes::default() }, now);
                self.judge(&baseline, found, now, out);
            }
            Err(error) => tracing::warn!(path = found.state.path, error = %Chain(&error), "File content not kept."),
        }
    }

    fn file_changed(
        &mut self,
        accepted: &BaselineFile,
        found: &FileFound,
        explained: Option<(String, String)>,
        now: Moment,
    ) {
        let kind = match (&accepted.state.sha256, &found.state.sha256) {
            (None, Some(_)) => "file.created",
            (Some(_), None) => "file.deleted",
            _ => "file.modified",
        };
        let path = found.state.path.clone();
        let mut attributes = Attributes::new();
        attributes.insert("file.sha256".into(), found.state.sha256.clone().unwrap_or_else(|| "absent".into()));
        let mut deployment = None;
        let mut summary = format!("{path} was {}", kind.trim_start_matches("file."));
        if let Some((by, reference)) = explained {
            deployment = reference.parse().ok().filter(|id| self.deployments.contains_key(id));
            summary = format!("{summary}: {by}");
            attributes.insert("explained.by".into(), by);
            attributes.insert("explained.reference".into(), reference);
        }
        let target = Target::file(path);
        let cause = self.own.cause_of(&target, now.mono);
        let id = ChangeId::new(now.wall, self.ids.as_mut());
        let at = found.state.altered_at(&accepted.state, found.at);
        self.on_change(
            Change { id, at, kind: kind.into(), target, actor: None, summary, attributes, deployment, cause },
            now,
        );
    }

    /// Keeps a content and gives the baseline for it.
    pub(super) fn accept(
        &self,
        found: &FileFound,
        by: &str,
        reason: &str,
        now: Moment,
    ) -> Result<BaselineFile, StoreError> {
        let keep = found.content.as_ref().filter(|c| c.len() as u64 <= self.config.content_bytes_max);
        let blob = keep.map(|content| self.blobs.put(content)).transpose()?.flatten();
        Ok(BaselineFile {
            state: found.state.clone(),
            blob,
            accepted_at: now.wall,
            accepted_by: by.to_owned(),
            reason: reason.to_owned(),
        })
    }

    /// Files that were read on the engine's own wish.
    pub(super) fn on_files(&mut self, found: Vec<FileFound>, purpose: ReadFor, now: Moment, out: &mut Vec<Command>) {
        match purpose {
            ReadFor::Look => {
                for file in found {
                    self.on_file(file, now, out);
                }
            }
            ReadFor::Accept { by, reason, known_only, answer } => {
                let reply = self.accept_all(found, (&by, &reason), known_only, now, out);
                let _ = answer.send(reply);
            }
            ReadFor::Release { deployment, answer } => self.release_recorded(&deployment, found, answer, now, out),
        }
    }

    fn accept_all(
        &mut self,
        found: Vec<FileFound>,
        (by, reason): (&str, &str),
        known_only: bool,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> Answer {
        let mut writes = Writes::default();
        let mut skipped = Vec::new();
        for file in &found {
            // Capturing is for what is new; what differs is accepted by name and with a reason.
            let why_not = if known_only {
                None
            } else if self.is_release_file(&file.state.path) {
                Some("it belongs to a release, which its deployment recorded")
            } else if self.is_drifted(&Target::file(&file.state.path)) {
                Some("it has drifted: look with `holdfast baseline diff`, then `holdfast baseline accept --reason …`")
            } else {
                None
            };
            if let Some(reason) = why_not {
                skipped.push(Skipped { subject: file.state.path.clone(), reason: reason.to_owned() });
                continue;
            }
            // What appeared is accepted like what was altered.
            let is_new = known_only && !self.baselines.contains_key(&file.state.path);
            if is_new && !self.is_drifted(&Target::file(&file.state.path)) {
                return Err(Refusal::new(RefusalKind::NotFound, format!("{} has no baseline", file.state.path))
                    .hint("`holdfast baseline capture PATH` records it for the first time"));
            }
            let baseline = self.accept(file, by, reason, now).map_err(|error| {
                Refusal::new(RefusalKind::Failed, format!("{} could not be kept: {}", file.state.path, Chain(&error)))
            })?;
            writes.audit.push(Self::draft(now, AuditKind::Baseline, by, &file.state.path, body_of(&baseline)));
            writes.baselines.push(baseline);
        }
        let accepted: Vec<String> = writes.baselines.iter().map(|it| it.state.path.clone()).collect();
        let baselines: BTreeMap<String, BaselineFile> =
            writes.baselines.iter().map(|it| (it.state.path.clone(), it.clone())).collect();
        self.record(writes)?;
        self.baselines.extend(baselines);
        // What drifted and is accepted now drifts no more.
        for file in found {
            self.on_file(file, now, out);
        }
        Ok(serde_json::json!(BaselineAnswer { accepted, skipped }))
    }

    /// Asks for files to be read for a person. No paths: everything that has a baseline, but for releases.
    pub(super) fn read_for(&self, paths: Vec<String>, purpose: ReadFor, out: &mut Vec<Command>) {
        let paths = if paths.is_empty() {
            // A release is recorded by its deployment.
            self.baselines.keys().filter(|path| !self.is_release_file(path)).cloned().collect()
        } else {
            paths
        };
        out.push(Command::Read { paths, after_ms: 0, purpose });
    }

    /// Only absolute paths name files of the host.
    pub(super) fn absolute(paths: &[String], answer: oneshot::Sender<Answer>) -> Result<oneshot::Sender<Answer>, ()> {
        match paths.iter().find(|path| !path.starts_with('/')) {
            None => Ok(answer),
            Some(path) => {
                let refusal = Refusal::new(RefusalKind::Usage, format!("`{path}` is not an absolute path"));
                let _ = answer.send(Err(refusal));
                Err(())
            }
        }
    }
}

/// What was accepted of a file that appeared while its place was watched: that it is not there.
pub(super) fn absent(path: String, now: Moment) -> BaselineFile {
    let state = FileState { path, sha256: None, bytes: 0, mode: 0, uid: 0, gid: 0, modified_at: None };
    let reason = "absent when the watch began".to_owned();
    BaselineFile { state, blob: None, accepted_at: now.wall, accepted_by: AGENT.to_owned(), reason }
}

fn body_of(baseline: &BaselineFile) -> serde_json::Value {
    let FileState { sha256, mode, uid, gid, .. } = &baseline.state;
    serde_json::json!({ "sha256": sha256, "mode": mode, "uid": uid, "gid": gid, "kept": baseline.blob.is_some(), "reason": baseline.reason })
}

pub(super) fn below(dir: &str, path: &str) -> bool {
    path.strip_prefix(dir.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'))
}
