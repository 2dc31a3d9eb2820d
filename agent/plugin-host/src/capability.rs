//! The one place that says yes: a plugin reads or proposes only what its manifest asks for and the operator grants.
//!
//! Every host call and every step of a plan goes through [`permit`]. What is not listed is denied, and the answer names the missing grant.

use std::path::{Component, Path};

use holdfast_core::model::{Action, Globs};

use crate::grant::Effective;

/// What a plugin asks for at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask<'a> {
    /// Something at or below this absolute path.
    File(&'a str),
    /// One unit's state.
    Unit(&'a str),
    /// Any units at all; each one is asked for again by name.
    Units,
    Processes,
    Cmdline,
    Metrics,
    Changes,
    State,
    /// To propose this action.
    Propose(&'a Action),
}

/// Says yes, or names what is missing.
pub(crate) fn permit(effective: &Effective, ask: Ask<'_>) -> Result<(), String> {
    let (wants, read) = (&effective.wants, &effective.grant.read);
    match ask {
        Ask::File(path) => {
            let asked = wants.files.iter().any(|root| below(root, path));
            let given = read.files.iter().any(|root| below(root, path));
            if asked && given {
                return Ok(());
            }
            let wish = named("wants.files", &wants.files_from_settings);
            both(asked, given, || format!("files below `{path}`"), &wish, "read.files")
        }
        Ask::Unit(name) => {
            let (asked, given) = (matches(Globs::Units, &wants.units, name), matches(Globs::Units, &read.units, name));
            both(asked, given, || format!("unit `{name}`"), "wants.units", "read.units")
        }
        Ask::Units => {
            let (asked, given) = (!wants.units.is_empty(), !read.units.is_empty());
            both(asked, given, || "units".to_owned(), "wants.units", "read.units")
        }
        Ask::Processes => flag(wants.processes, read.processes, "processes"),
        Ask::Cmdline => flag(wants.processes_cmdline, read.processes_cmdline, "processes-cmdline"),
        Ask::Metrics => flag(wants.metrics, read.metrics, "metrics"),
        Ask::Changes => flag(wants.changes, read.changes, "changes"),
        // Its own small state needs no operator: it is private, bounded and the manifest announces it.
        Ask::State if wants.state => Ok(()),
        Ask::State => Err("`state` is not in the manifest's `wants`".to_owned()),
        Ask::Propose(action) => propose(effective, action),
    }
}

fn propose(effective: &Effective, action: &Action) -> Result<(), String> {
    let (asked, given) = (&effective.proposes, &effective.grant.propose);
    let verb = action.verb();
    let has = |verbs: &[String]| verbs.iter().any(|v| v == verb);
    both(has(&asked.actions), has(&given.actions), || format!("`{verb}`"), "proposes.actions", "propose.actions")?;
    match action {
        Action::RestartUnit { unit, .. } | Action::ResetFailedUnit { unit, .. } => both(
            matches(Globs::Units, &asked.units, unit),
            matches(Globs::Units, &given.units, unit),
            || format!("{verb} of unit `{unit}`"),
            "proposes.units",
            "propose.units",
        ),
        Action::RestoreFile { path, .. } | Action::QuarantinePath { path, .. } => path_granted(effective, verb, path),
        Action::ReclaimPaths { entries, .. } => {
            entries.iter().try_for_each(|entry| path_granted(effective, verb, &entry.path))
        }
    }
}

fn path_granted(effective: &Effective, verb: &str, path: &str) -> Result<(), String> {
    both(
        matches(Globs::Paths, &effective.proposes.paths, path),
        matches(Globs::Paths, &effective.grant.propose.paths, path),
        || format!("{verb} of `{path}`"),
        &named("proposes.paths", &effective.proposes.paths_from_settings),
        "propose.paths",
    )
}

/// Where a wish for a place would stand.
fn named(wish: &str, settings: &[String]) -> String {
    if settings.is_empty() {
        wish.to_owned()
    } else {
        format!("{wish}` nor in its settings `{}", settings.join("`, `"))
    }
}

fn flag(asked: bool, given: bool, name: &str) -> Result<(), String> {
    both(asked, given, || format!("`{name}`"), "wants", "read")
}

fn both(asked: bool, given: bool, what: impl Fn() -> String, wants: &str, grants: &str) -> Result<(), String> {
    match (asked, given) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("{} is not in the manifest's `{wants}`", what())),
        (true, false) => Err(format!("{} is not granted: add it to `{grants}` in plugins.d", what())),
    }
}

/// Whether any of the patterns matches `name`.
pub(crate) fn matches(about: Globs, patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| about.matcher(pattern).is_ok_and(|glob| glob.is_match(name)))
}

/// Whether `path` is `root` or lies below it. Both plain and absolute.
pub(crate) fn below(root: &str, path: &str) -> bool {
    is_plain_absolute(path) && Path::new(path).starts_with(root)
}

/// Absolute, UTF-8, without `.`, `..`, empty parts and NUL.
pub(crate) fn is_plain_absolute(path: &str) -> bool {
    path.len() <= crate::limits::NAME_BYTES_MAX
        && path.starts_with('/')
        && !path.contains('\0')
        && (path == "/" || path[1..].split('/').all(|part| !matches!(part, "" | "." | "..")))
        && Path::new(path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Grant;
    use crate::manifest::Manifest;

    #[test]
    fn below_goes_by_whole_parts_of_a_path() {
        assert!(below("/srv/app", "/srv/app"));
        assert!(below("/srv/app", "/srv/app/x"));
        assert!(!below("/srv/app", "/srv/application"));
        assert!(!below("/srv/app", "/srv/app/../etc"));
        assert!(below("/", "/etc/passwd"));
    }

    #[test]
    fn asked_but_not_granted_and_granted_but_not_asked_are_both_denied() {
        let manifest =
            "id = \"x\"\nversion = \"1.0.0\"\n[wants]\nfiles = [\"/srv\"]\nmetrics = true\nunits = [\"*.service\"]\n";
        let grant = Grant::parse("[read]\nfiles = [\"/srv/app\"]\nunits = [\"web-*.service\"]\n").unwrap();
        let effective = Effective::new(Manifest::parse(manifest).unwrap(), grant, "").unwrap();
        let check = |ask, wanted: Option<&str>| match (permit(&effective, ask), wanted) {
            (Ok(()), None) => {}
            (Err(text), Some(wanted)) => assert!(text.contains(wanted), "{text}"),
            other => panic!("{ask:?}: {other:?}"),
        };
        check(Ask::File("/srv/app/x"), None);
        check(Ask::File("/srv/other"), Some("read.files"));
        check(Ask::File("/etc/passwd"), Some("wants.files"));
        check(Ask::Metrics, Some("is not granted"));
        check(Ask::Changes, Some("manifest"));
        check(Ask::State, Some("manifest"));
        check(Ask::Unit("web-1.service"), None);
        check(Ask::Unit("ssh.service"), Some("read.units"));
        let action = Action::ResetFailedUnit { unit: "web-1.service".into(), only_if_invocation: None };
        check(Ask::Propose(&action), Some("proposes.actions"));
    }
}
