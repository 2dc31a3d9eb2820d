//! Follows rpm's database by looking about once a second: some `stat` when nothing happened. rpm keeps no log of its own, and those of the
//! tools before it differ; what differs between two states of the database is what all of them did.

use std::collections::BTreeSet;
use std::sync::Arc;

use holdfast_core::model::{Attributes, Change, ChangeId, Target, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::database::{Database, Package, Packages};
use crate::host::{Clock, FsRoot, beats};
use crate::ingest::packages::IdsOf;

/// About a second.
const EVERY: u32 = 2;

/// Tells what was brought since `since`, then each new change within about a second after rpm is done, until the receiver is dropped.
/// What was brought has the same change id whenever it is told.
pub fn follow(fs: FsRoot, clock: Arc<dyn Clock>, since: Timestamp, to: mpsc::Sender<Change>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut database = Database::new(fs);
        let (mut before, mut every, mut first) = (None::<Packages>, beats(EVERY), true);
        loop {
            // What it is like at the start is looked at at once: what comes later has something to be compared with.
            if !std::mem::take(&mut first) {
                tokio::select! {
                    () = to.closed() => return,
                    _ = every.tick() => {}
                }
            }
            if !database.is_due() {
                continue;
            }
            let looked = tokio::task::spawn_blocking(move || {
                let now = database.look().ok().cloned();
                (database, now)
            });
            let Ok((again, now)) = looked.await else { return };
            database = again;
            let Some(now) = now else { continue };
            let found = match &before {
                Some(before) => between(before, &now, clock.wall()),
                None => brought(&now, since),
            };
            for change in found {
                if to.send(change).await.is_err() {
                    return;
                }
            }
            before = Some(now);
        }
    })
}

/// What was brought since then, as far as the database tells: not what it replaced.
pub(super) fn brought(now: &Packages, since: Timestamp) -> Vec<Change> {
    let new = now.values().filter(|package| package.since.is_some_and(|at| at >= since));
    new.map(|package| change(package, None, package.since.unwrap_or(since))).collect()
}

/// What differs. What was brought is told at the beginning of its transaction, what has gone at the moment of the look.
///
/// A package that is installed in several versions, as kernels are, is not upgraded: one comes, and one goes.
pub(super) fn between(before: &Packages, now: &Packages, at: Timestamp) -> Vec<Change> {
    let key = |package: &Package| (package.name.clone(), package.architecture.clone());
    let kept: BTreeSet<_> = now.iter().filter(|(number, _)| before.contains_key(number)).map(|it| key(it.1)).collect();
    let mut gone: Vec<&Package> = before.iter().filter(|it| !now.contains_key(it.0)).map(|it| it.1).collect();
    let new = now.iter().filter(|(number, _)| !before.contains_key(number)).map(|it| it.1);
    let mut found = Vec::new();
    for package in new {
        let replaced = gone.iter().position(|old| key(old) == key(package) && !kept.contains(&key(package)));
        let old = replaced.map(|index| gone.remove(index));
        found.push(change(package, old, package.since.unwrap_or(at)));
    }
    found.extend(gone.into_iter().map(|package| removal(package, at)));
    found
}

fn change(package: &Package, old: Option<&Package>, at: Timestamp) -> Change {
    let Package { name, version, .. } = package;
    let (kind, summary) = match old {
        None => ("package.installed", format!("Installed {name} {version}")),
        Some(old) if old.version == *version => ("package.upgraded", format!("Unpacked {name} {version} again")),
        Some(old) => ("package.upgraded", format!("Changed {name} from {} to {version}", old.version)),
    };
    told(package, at, kind, summary, (Some(version.clone()), old.map(|old| old.version.clone())))
}

fn removal(package: &Package, at: Timestamp) -> Change {
    let summary = format!("Removed {} {}", package.name, package.version);
    told(package, at, "package.removed", summary, (None, Some(package.version.clone())))
}

fn told(
    package: &Package,
    at: Timestamp,
    kind: &str,
    summary: String,
    (new, old): (Option<String>, Option<String>),
) -> Change {
    let is_new = if new.is_some() { "brought" } else { "removed" };
    let words = format!("rpm {is_new} {} {} {}", package.name, package.version, package.architecture);
    let attributes: Attributes = [
        ("package.name", Some(package.name.clone())),
        ("package.architecture", Some(package.architecture.clone()).filter(|it| !it.is_empty())),
        ("package.version", new),
        ("package.previous_version", old),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect();
    Change {
        id: ChangeId::new(at, &mut IdsOf(&words)),
        at,
        kind: kind.to_owned(),
        target: Target::new("package", &package.name),
        actor: None,
        summary,
        attributes,
        deployment: None,
        cause: None,
    }
}
