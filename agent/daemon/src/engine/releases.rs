//! Releases of the past: what a newer release superseded may be cleaned away as a whole, and then nothing is expected there.
//!
//! A pipeline that keeps the last five releases removes the sixth with its next run. That is no drift; a single file that is
//! missing from a superseded release still is, as is everything about the release in use.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_core::model::audit::AuditKind;
use holdfast_core::model::{
    Attributes, Change, ChangeId, Deployment, DeploymentId, DeploymentState, Target, Timestamp,
};

use super::files::{absent, below};
use super::{AGENT, Command, Engine, Moment};
use crate::event_loop::{FileFound, ReadFor};
use crate::store::{BaselineFile, Writes};

/// Ended deployments are remembered for so long beside the store.
const KEPT: Duration = Duration::from_hours(24 * 30);
/// A look that was not answered for so long is asked for again.
const ASKED_AGAIN: Duration = Duration::from_mins(1);

/// Directories that are being looked at, since when, and the files that were told to be gone.
pub(super) type Asked = BTreeMap<String, (Duration, BTreeMap<String, FileFound>)>;

impl Engine {
    /// Takes note of a file that is gone from a superseded release. False: it is of none, or was not there before.
    pub(super) fn is_cleaned_away(&mut self, found: &FileFound, now: Moment, out: &mut Vec<Command>) -> bool {
        let path = &found.state.path;
        let was_there = self.baselines.get(path).is_some_and(|it| it.state.sha256.is_some());
        if found.state.sha256.is_some() || !was_there {
            return false;
        }
        let Some((dir, _)) = self.superseded(path) else { return false };
        let (since, gone) = self.releases_asked.entry(dir.clone()).or_default();
        if gone.is_empty() || now.mono.saturating_sub(*since) > ASKED_AGAIN {
            *since = now.mono;
            out.push(Command::LookWhatIsLeft(dir));
        }
        gone.insert(path.clone(), found.clone());
        true
    }

    /// The directory of the superseded release that a file lies in, and what superseded it: a later release of the same service
    /// in another directory. None while anything is deployed there, or when another service's release is in use there.
    fn superseded(&self, path: &str) -> Option<(String, DeploymentId)> {
        let placed = || self.deployments.values().filter_map(|it| Some((it, place(it)?)));
        let released = || placed().filter(|(it, _)| it.state == DeploymentState::Succeeded);
        // The last that was released there is what lies there.
        let (last, dir) = released().filter(|(_, dir)| below(dir, path)).max_by_key(|(it, _)| it.started_at)?;
        let touches = |other: &str| other == dir || below(other, dir) || below(dir, other);
        let same = |it: &Deployment| it.service == last.service && it.environment == last.environment;
        let newest = |of: &Deployment| {
            let newer = |(it, _): &(&Deployment, &str)| {
                it.service == of.service && it.environment == of.environment && it.started_at > of.started_at
            };
            !released().any(|it| newer(&it))
        };
        // What has the place is looked for first: it is few, and each costs a look at all.
        let in_use = |(it, other): (&Deployment, &str)| {
            touches(other)
                && (it.state == DeploymentState::Running || it.state == DeploymentState::Succeeded && newest(it))
        };
        if placed().any(in_use) {
            return None;
        }
        let (newer, _) = released().find(|(it, _)| same(it) && it.started_at > last.started_at)?;
        Some((dir.to_owned(), newer.id.clone()))
    }

    /// The directory of a superseded release was looked at.
    pub(super) fn on_left(&mut self, dir: &str, nothing: bool, now: Moment, out: &mut Vec<Command>) {
        let (_, gone) = self.releases_asked.remove(dir).unwrap_or_default();
        let newer = self.superseded(&format!("{dir}/.")).map(|(_, newer)| newer);
        if let Some(newer) = newer.filter(|_| nothing) {
            return self.release_removed(dir, &newer, now, out);
        }
        for file in gone.into_values() {
            self.on_watched(file, now, out);
        }
    }

    fn release_removed(&mut self, dir: &str, newer: &DeploymentId, now: Moment, out: &mut Vec<Command>) {
        let paths: Vec<String> = accepted_below(&self.baselines, dir).map(|(path, _)| path.clone()).collect();
        let reason = format!("removed as a whole after deployment {newer} had superseded it");
        let body = serde_json::json!({ "reason": reason, "files": paths.len(), "superseded_by": newer });
        let audit = vec![Self::draft(now, AuditKind::Baseline, AGENT, dir, body)];
        self.ledger.soon(Writes { baselines_removed: paths.clone(), audit, ..Writes::default() }, now);
        for path in paths {
            let drifted = self.is_drifted(&Target::file(&path));
            self.baselines.remove(&path);
            self.second_look.remove(&path);
            if drifted {
                // A look in the middle of the removal took it for drift.
                let nothing = absent(path, now);
                let (state, at) = (nothing.state.clone(), now.wall);
                let found = FileFound { state, content: None, package: None, at, first: false };
                self.judge(&nothing, found, now, out);
            }
        }
        out.push(Command::Unwatch(dir.to_owned()));
        let change = Change {
            id: ChangeId::new(now.wall, self.ids.as_mut()),
            at: now.wall,
            kind: "release.removed".to_owned(),
            target: Target::file(dir),
            actor: None,
            summary: format!("the release in {dir} was {reason}"),
            attributes: Attributes::from([("superseded.by".to_owned(), newer.to_string())]),
            deployment: None,
            cause: None,
        };
        self.on_change(change, now);
        self.forget_deployments(now);
    }

    /// Looks for releases that were removed while nobody watched: at one file of each that is superseded.
    pub(super) fn look_for_removed_releases(&self, out: &mut Vec<Command>) {
        let dirs: BTreeSet<&str> = self.deployments.values().filter_map(|it| it.release_dir.as_deref()).collect();
        let one = |dir: &str| a_file_below(&self.baselines, dir).cloned();
        let paths: Vec<String> =
            dirs.into_iter().filter_map(one).filter(|path| self.superseded(path).is_some()).collect();
        if !paths.is_empty() {
            out.push(Command::Read { paths, after_ms: 0, purpose: ReadFor::Look });
        }
    }

    /// Lets go of old ones: the store keeps them.
    pub(super) fn forget_deployments(&mut self, now: Moment) {
        let all = std::mem::take(&mut self.deployments).into_values();
        self.deployments = remembered(all, now.wall, |dir| a_file_below(&self.baselines, dir).is_some());
    }
}

fn place(it: &Deployment) -> Option<&str> {
    it.release_dir.as_deref().map(|dir| dir.trim_end_matches('/'))
}

/// What is accepted below a directory.
fn accepted_below<'b>(
    all: &'b BTreeMap<String, BaselineFile>,
    dir: &str,
) -> impl Iterator<Item = (&'b String, &'b BaselineFile)> + use<'b> {
    let start = format!("{}/", dir.trim_end_matches('/'));
    all.range(start.clone()..).take_while(move |(path, _)| path.starts_with(&start))
}

/// A file that is expected below a directory.
pub(super) fn a_file_below<'b>(all: &'b BTreeMap<String, BaselineFile>, dir: &str) -> Option<&'b String> {
    accepted_below(all, dir).find(|(_, file)| file.state.sha256.is_some()).map(|(path, _)| path)
}

/// Those that are remembered, while the agent runs and by a start alike: what runs, what is not old, and the last release of each service in its place,
/// for the next one is an upgrade; of the places that another release superseded, those with files that are still watched.
pub(super) fn remembered(
    all: impl IntoIterator<Item = Deployment>,
    now: Timestamp,
    has_files: impl Fn(&str) -> bool,
) -> BTreeMap<DeploymentId, Deployment> {
    let mut all: BTreeMap<DeploymentId, Deployment> = all.into_iter().map(|it| (it.id.clone(), it)).collect();
    let (mut places, mut services) = (BTreeMap::new(), BTreeMap::new());
    for it in all.values().filter(|it| it.state == DeploymentState::Succeeded) {
        let (at, service) = ((it.started_at, &it.id), it.service.as_str());
        let newest = places.entry((service, it.release_dir.as_deref())).or_insert(at);
        *newest = (*newest).max(at);
        let newest = services.entry(service).or_insert(at);
        *newest = (*newest).max(at);
    }
    let in_place = places.into_iter().filter(|((_, dir), _)| dir.is_some_and(&has_files)).map(|(_, at)| at);
    let kept: BTreeSet<DeploymentId> = in_place.chain(services.into_values()).map(|(_, id)| id.clone()).collect();
    all.retain(|id, it| it.state == DeploymentState::Running || now.since(it.started_at) <= KEPT || kept.contains(id));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(id: &str, dir: Option<&str>, days_ago: u64) -> Deployment {
        let started_at = Timestamp::from_secs(1_800_000_000).minus(Duration::from_hours(24 * days_ago));
        Deployment {
            id: id.parse().unwrap(),
            service: "web".into(),
            version: id.into(),
            environment: "production".into(),
            artifact: None,
            revision: None,
            actor: "ci".into(),
            release_dir: dir.map(str::to_owned),
            units: vec![],
            paths: vec![],
            state: DeploymentState::Succeeded,
            started_at,
            finished_at: Some(started_at),
        }
    }

    #[test]
    fn of_old_deployments_the_last_and_those_whose_files_are_still_there_are_remembered() {
        let all = [
            deployment("one", Some("/srv/web/1"), 90),
            deployment("two", Some("/srv/web/2"), 80),
            deployment("again", Some("/srv/web/2"), 70),
            deployment("three", Some("/srv/web/3"), 60),
            deployment("nowhere", None, 50),
        ];
        let kept = remembered(all, Timestamp::from_secs(1_800_000_000), |dir| dir == "/srv/web/2");
        let kept: Vec<&str> = kept.keys().map(DeploymentId::as_str).collect();
        assert_eq!(kept, ["again", "nowhere"]);
    }
}
