//! Drift of what a host is made of besides files: packages, accounts, kernel settings and modules, open ports, and
//! which units start by themselves.
//!
//! Explained is what the agent did, what a deployment declared, what the package manager recorded or its scripts make
//! (system accounts, links of the units that it ships), and what the host's own configuration states. A port that closed and a module that was unloaded are no
//! drift: services and devices come and go, and what failed is found by other methods.

use std::time::Duration;

use super::{Judgement, while_deploying};
use crate::model::unit_name::{base_of, word_in};
use crate::model::{
    CauseId, Change, Class, Confidence, Deployment, Detection, Evidence, Item, ItemKind, ItemName, Method, Presence,
    Severity, Timestamp,
};

/// Evidence of a drift: when the item was last seen as accepted.
pub const LAST_AS_ACCEPTED: &str = "item.last_as_accepted";
const METHOD: &str = "item_drift";
const VERSION: u32 = 2;
/// Where package managers keep what is installed.
const PACKAGE_DATABASES: [&str; 3] =
    ["/var/lib/dpkg/status", "/var/lib/rpm/rpmdb.sqlite", "/usr/lib/sysimage/rpm/rpmdb.sqlite"];
/// A look comes once a minute or so, and services take a while until they listen.
const DEPLOYMENT_GRACE: Duration = Duration::from_mins(10);
/// Scripts of packages make accounts within this time of the line in the log, before or after.
const PACKAGE_REACH: Duration = Duration::from_mins(10);
/// Ids below belong to the system, not to people (Debian policy 9.2, `login.defs` elsewhere).
const FIRST_PERSON: u32 = 1_000;
/// Who is in one of these may become root or read its secrets.
const PRIVILEGED: [&str; 11] =
    ["root", "sudo", "wheel", "admin", "docker", "lxd", "incus", "libvirt", "disk", "shadow", "kmem"];
/// A shell that lets nobody in.
const CLOSED_SHELLS: [&str; 3] = ["/nologin", "/false", "/sync"];

/// Everything that a judgement is made of.
#[derive(Debug, Clone, Copy)]
pub struct ItemFacts<'a> {
    /// Which item.
    pub name: &'a ItemName,
    /// The value that was accepted; `None`: that there is none.
    pub accepted: Option<&'a str>,
    /// What is there; `None`: nothing.
    pub current: Option<&'a Item>,
    /// What was altered around the machine since the item was last seen as accepted, and shortly before.
    pub changes: &'a [Change],
    /// Deployments that are running or finished lately.
    pub deployments: &'a [Deployment],
    /// The agent's own remediation that altered it just now.
    pub cause: Option<&'a CauseId>,
    /// When it was looked at.
    pub at: Timestamp,
    /// When it was looked at before; the alteration lies between the two.
    pub before: Timestamp,
}

/// What the difference between the accepted and the current state of an item comes to.
pub fn judge_item(facts: &ItemFacts<'_>) -> Judgement {
    let now = facts.current.map(|it| it.value.as_str());
    if !facts.name.kind.differs(facts.accepted, now) {
        return Judgement::Unchanged(detection(facts, Presence::Cleared));
    }
    match explanation(facts) {
        Some((by, reference)) => Judgement::Explained { by, reference },
        None => Judgement::Unexplained(detection(facts, Presence::Present)),
    }
}

fn explanation(facts: &ItemFacts<'_>) -> Option<(String, String)> {
    let name = facts.name;
    if let Some(cause) = facts.cause {
        return Some((format!("the agent's own remediation {cause} altered {name}"), cause.to_string()));
    }
    if let Some(deployment) = facts.deployments.iter().filter(|it| deployed(it, facts)).max_by_key(|it| it.started_at) {
        let Deployment { id, service, version, .. } = deployment;
        return Some((format!("deployment {id} of {service} {version} declared what alters {name}"), id.to_string()));
    }
    if let Some(change) = facts.changes.iter().rev().find(|it| packaged(it, facts)) {
        return Some((format!("{}: {}", change.summary, by_package(name.kind)), change.target.name.clone()));
    }
    facts.current.and_then(|it| it.stated_by.clone()).map(|by| (by, name.kind.to_string()))
}

fn by_package(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Package => "the package manager's log tells it",
        ItemKind::UnitFile => "a package enables the units that it ships",
        _ => "a package made a system account",
    }
}

fn unit_of<'f>(facts: &ItemFacts<'f>) -> Option<&'f str> {
    facts.current.and_then(|it| it.facts.get("unit.name")).map(String::as_str)
}

fn ran_then(deployment: &Deployment, facts: &ItemFacts<'_>) -> bool {
    let ran = while_deploying::reach(deployment, DEPLOYMENT_GRACE);
    ran.is_some_and(|it| it.holds(facts.at) || it.holds(facts.before))
}

/// The deployment that a new port of an unknown owner may belong to: one that names units ran then.
fn perhaps_of<'f>(facts: &ItemFacts<'f>) -> Option<&'f Deployment> {
    let unknown = facts.name.kind == ItemKind::Listener && facts.accepted.is_none() && unit_of(facts).is_none();
    let ran = |it: &&Deployment| !it.units.is_empty() && ran_then(it, facts);
    facts.deployments.iter().filter(ran).max_by_key(|it| it.started_at).filter(|_| unknown)
}

/// Whether a deployment that ran then declared the item: by its file, or the unit that listens.
fn deployed(deployment: &Deployment, facts: &ItemFacts<'_>) -> bool {
    if !ran_then(deployment, facts) {
        return false;
    }
    match facts.name.kind {
        ItemKind::Package => PACKAGE_DATABASES.iter().any(|path| deployment.declares_path(path)),
        ItemKind::User => deployment.declares_path("/etc/passwd"),
        ItemKind::Group => deployment.declares_path("/etc/group"),
        ItemKind::Sysctl => deployment.declares_path(&format!("/proc/sys/{}", facts.name.name.replace('.', "/"))),
        ItemKind::Module => deployment.declares_path("/proc/modules"),
        ItemKind::Listener => {
            // A port whose owner nobody knows may be anybody's, whatever is being deployed meanwhile.
            unit_of(facts).is_some_and(|unit| deployment.names_unit(unit))
        }
        ItemKind::UnitFile => {
            let name = &facts.name.name;
            deployment.names_unit(name) || deployment.declares_path(&format!("/etc/systemd/system/{name}"))
        }
    }
}

fn packaged(change: &Change, facts: &ItemFacts<'_>) -> bool {
    if change.target.kind != "package" {
        return false;
    }
    match facts.name.kind {
        ItemKind::Package => {
            let name = facts.name.name.split_once(':').map_or(facts.name.name.as_str(), |(name, _)| name);
            change.target.name == name
        }
        ItemKind::User | ItemKind::Group => {
            change.at >= facts.before.minus(PACKAGE_REACH) && change.at <= facts.at && is_system_account(facts)
        }
        // A unit that nobody ships any more went with a package that is named like it.
        ItemKind::UnitFile => {
            let near = change.at >= facts.before.minus(PACKAGE_REACH) && change.at <= facts.at;
            // An alias went with the unit that it named.
            let aliases = facts.accepted.into_iter().flat_map(|it| it.split(", "));
            let aliased = aliases.filter_map(|it| it.strip_prefix("alias of "));
            let mut names = std::iter::once(facts.name.name.as_str()).chain(aliased);
            let is_like = names.any(|unit| is_named_like(&change.target.name, unit));
            let shipped = match facts.current {
                Some(it) if it.value.contains("masked") => false,
                // Some packages put theirs where an administrator's belong.
                Some(it) if it.value.contains("local file") || it.value.contains("linked to") => is_like,
                Some(it) => it.facts.contains_key("unit.vendor"),
                None => is_like,
            };
            near && shipped
        }
        ItemKind::Sysctl | ItemKind::Module | ItemKind::Listener => false,
    }
}

/// `nginx-core` and `nginx.service`, `openssh-server` and `ssh.service`; not `login` and `systemd-logind.service`.
fn is_named_like(package: &str, unit: &str) -> bool {
    let base = base_of(unit);
    let is_open = || package.split('-').any(|word| word.strip_prefix("open") == Some(base));
    base.len() >= 3 && (word_in(package, base) || is_open())
}

/// Whether the package's scripts may have made it: an account that nobody logs into, a group without power.
fn is_system_account(facts: &ItemFacts<'_>) -> bool {
    let both = [facts.accepted, facts.current.map(|it| it.value.as_str())];
    both.into_iter().flatten().all(|value| match facts.name.kind {
        ItemKind::User => system_id(value, "uid") && !lets_in(value),
        _ => system_id(value, "gid") && !PRIVILEGED.contains(&facts.name.name.as_str()),
    })
}

fn system_id(value: &str, key: &str) -> bool {
    field(value, key).and_then(|it| it.parse::<u32>().ok()).is_some_and(|id| (1..FIRST_PERSON).contains(&id))
}

fn lets_in(value: &str) -> bool {
    field(value, "shell").is_some_and(|shell| !shell.is_empty() && !CLOSED_SHELLS.iter().any(|it| shell.ends_with(it)))
}

/// The part after `key=` of `uid=1 gid=1 home=/ shell=/bin/sh`.
fn field<'v>(value: &'v str, key: &str) -> Option<&'v str> {
    value.split(' ').find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
}

fn detection(facts: &ItemFacts<'_>, presence: Presence) -> Detection {
    let kind = facts.name.kind;
    let absent = || "absent".to_owned();
    let value = facts.current.map_or_else(absent, |it| it.value.clone());
    let accepted = facts.accepted.map_or_else(absent, str::to_owned);
    let mut evidence =
        vec![Evidence::new("item.value", value.as_str()), Evidence::new("item.accepted_value", accepted.as_str())];
    if let Some(item) = facts.current.filter(|_| presence == Presence::Present) {
        evidence.extend(item.facts.iter().map(|(name, fact)| Evidence::new(name, fact.as_str())));
    }
    if presence == Presence::Present {
        evidence.push(Evidence::new(LAST_AS_ACCEPTED, facts.before.to_string()));
    }
    let (class, severity) = weight(facts);
    if let Some(deployment) = perhaps_of(facts).filter(|_| presence == Presence::Present) {
        evidence.push(Evidence::new("deployment.id", deployment.id.as_str()));
    }
    Detection {
        kind: format!("{kind}.drift"),
        class,
        target: facts.name.target(),
        discriminator: String::new(),
        presence,
        title: title(facts, presence),
        severity,
        // The kernel and the host's own databases say it themselves.
        confidence: Confidence::CERTAIN,
        method: Method { name: METHOD.to_owned(), version: VERSION },
        evidence,
        began_at: facts.at,
        cause: facts.cause.cloned(),
    }
}

fn title(facts: &ItemFacts<'_>, presence: Presence) -> String {
    let ItemName { kind, name } = facts.name;
    if presence != Presence::Present {
        return format!("{kind} {name} is as accepted");
    }
    let what = match (facts.accepted, facts.current, kind) {
        (None, Some(it), ItemKind::Listener) => {
            let who = it.facts.get("process.executable.name").map_or("a program", |it| it.as_str());
            if let Some(deployment) = perhaps_of(facts) {
                return format!(
                    "{who} of {} listens on {name} since deployment {} ran, and whose it is cannot be told",
                    it.value, deployment.id
                );
            }
            return format!("{who} of {} listens on {name}, and no known change explains it", it.value);
        }
        (None, Some(it), _) => format!("appeared ({})", it.value),
        (Some(before), None, _) => format!("is gone (was {before})"),
        (Some(before), Some(it), _) => format!("changed from {before} to {}", it.value),
        (None, None, _) => "is as accepted".to_owned(),
    };
    let kind = if kind == &ItemKind::UnitFile { "unit" } else { kind.as_str() };
    format!("{kind} {name} {what}, and no known change explains it")
}

fn weight(facts: &ItemFacts<'_>) -> (Class, Severity) {
    let now = facts.current.map_or("", |it| it.value.as_str());
    match facts.name.kind {
        ItemKind::Package | ItemKind::Sysctl => (Class::Compliance, Severity::Medium),
        ItemKind::User => {
            // Of one that is gone, nothing is left that could let somebody in.
            let severity = if field(now, "uid") == Some("0") {
                Severity::Critical
            } else if lets_in(now) {
                Severity::High
            } else {
                Severity::Medium
            };
            (Class::Security, severity)
        }
        ItemKind::Group => {
            let powerful = PRIVILEGED.contains(&facts.name.name.as_str()) || field(now, "gid") == Some("0");
            (Class::Security, if powerful { Severity::High } else { Severity::Medium })
        }
        ItemKind::Module => (Class::Security, Severity::High),
        ItemKind::Listener if perhaps_of(facts).is_some() => (Class::Security, Severity::Low),
        ItemKind::Listener | ItemKind::UnitFile => (Class::Security, Severity::Medium),
    }
}

#[cfg(test)]
#[path = "items_tests.rs"]
mod tests;
