//! One line of `/var/log/dpkg.log`. Pure.
//!
//! `2026-11-24 20:15:02 upgrade nginx:amd64 1.22.1-9 1.24.0-2`, in local time without a zone. Other lines (`status`,
//! `startup`, `configure`, `trigproc`, `conffile`) say nothing that these don't.

use holdfast_core::model::{Attributes, Change, ChangeId, Target, Timestamp};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::super::packages::IdsOf;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// A package came.
    Install,
    /// A package's version changed, up or down, or was unpacked again.
    Upgrade,
    /// A package went; its configuration stays.
    Remove,
    /// Its configuration went too.
    Purge,
}

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Second of the log.
    pub at: Timestamp,
    /// What was done.
    pub verb: Verb,
    /// `nginx`.
    pub package: String,
    /// `amd64`, `all`; `None` in very old logs.
    pub architecture: Option<String>,
    /// The version before.
    pub old: Option<String>,
    /// The version after.
    pub new: Option<String>,
}

/// The moment at the start of a line, and the rest of it. A time that the clock passed twice is its first passing; one that
/// it skipped is read as if it had not.
pub fn parse_time<'l>(line: &'l str, zone: &TimeZone) -> Option<(Timestamp, &'l str)> {
    let (date, rest) = line.split_once(' ')?;
    let (time, rest) = rest.split_once(' ')?;
    if date.len() != 10 || time.len() != 8 {
        return None;
    }
    let civil: DateTime = format!("{date}T{time}").parse().ok()?;
    let at = zone.to_ambiguous_timestamp(civil).compatible().ok()?;
    Some((Timestamp::from_ns(i64::try_from(at.as_nanosecond()).ok()?), rest))
}

/// `None`: the line is about something else, or not a line of this log.
pub fn parse_line(line: &str, zone: &TimeZone) -> Option<Entry> {
    let (at, rest) = parse_time(line, zone)?;
    let mut words = rest.split_ascii_whitespace();
    let verb = match words.next()? {
        "install" => Verb::Install,
        "upgrade" => Verb::Upgrade,
        "remove" => Verb::Remove,
        "purge" => Verb::Purge,
        _ => return None,
    };
    let (name, old, new) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let (package, architecture) = name.split_once(':').map_or((name, None), |(name, arch)| (name, Some(arch)));
    if package.is_empty() {
        return None;
    }
    let version = |text: &str| (text != "<none>").then(|| text.to_owned());
    Some(Entry {
        at,
        verb,
        package: package.to_owned(),
        architecture: architecture.map(str::to_owned),
        old: version(old),
        new: version(new),
    })
}

/// The change that a line tells of.
pub fn change(line: &str, zone: &TimeZone) -> Option<Change> {
    let Entry { at, verb, package, architecture, old, new } = parse_line(line, zone)?;
    let shown = |version: &Option<String>| version.as_deref().unwrap_or("an unknown version").to_owned();
    let (kind, summary) = match verb {
        Verb::Install => ("package.installed", format!("Installed {package} {}", shown(&new))),
        Verb::Upgrade if old == new => ("package.upgraded", format!("Unpacked {package} {} again", shown(&new))),
        Verb::Upgrade => ("package.upgraded", format!("Changed {package} from {} to {}", shown(&old), shown(&new))),
        Verb::Remove => ("package.removed", format!("Removed {package} {}", shown(&old))),
        Verb::Purge => ("package.removed", format!("Removed the configuration of {package}")),
    };
    let attributes: Attributes = [
        ("package.name", Some(package.clone())),
        ("package.architecture", architecture),
        ("package.version", new),
        ("package.previous_version", old),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect();
    Some(Change {
        id: ChangeId::new(at, &mut IdsOf(line)),
        at,
        kind: kind.to_owned(),
        target: Target::new("package", package),
        actor: None,
        summary,
        attributes,
        deployment: None,
        cause: None,
    })
}
