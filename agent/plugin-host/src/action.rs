//! Capability and arguments, as a plugin writes them, to an action of the core and back: a strict schema for each.
//!
//! An unknown, missing or doubled argument, another type, or a value out of its range is refused by name. Nothing is filled in.

use std::collections::BTreeMap;

use holdfast_core::model::{Action, ReclaimEntry, Timestamp};
use serde::{Deserialize, Serialize};

use crate::bindings::types::{Arg, Value};
use crate::capability::is_plain_absolute;
use crate::guest::one_line;
use crate::limits::plan::{ENTRIES_MAX, RESTORE_BYTES_MAX, RESTORE_MODE_MAX};

/// A reclaim entry on the wire: one JSON object a text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct WireEntry {
    path: String,
    files: u64,
    bytes: u64,
    newest_change_ns: u64,
}

/// A capability with its arguments as an action, or what is wrong with it.
pub(crate) fn action(capability: &str, args: &[Arg]) -> Result<Action, String> {
    let mut args = Args::new(capability, args)?;
    let action = match capability {
        "unit.restart" => Action::RestartUnit {
            unit: args.unit("unit")?,
            only_if_invocation: args.invocation("invocation")?,
            only_if_active_state: args.active_state("active-state")?,
        },
        "unit.reset-failed" => {
            Action::ResetFailedUnit { unit: args.unit("unit")?, only_if_invocation: args.invocation("invocation")? }
        }
        "file.restore" => Action::RestoreFile {
            path: args.path("path")?,
            only_if_sha256: args.sha256("only-if-sha256")?,
            sha256: args.required("sha256", Args::sha256)?,
            bytes: args.whole("bytes", RESTORE_BYTES_MAX)?,
            mode: args.whole("mode", u64::from(RESTORE_MODE_MAX))? as u32,
            uid: args.whole("uid", u64::from(u32::MAX - 1))? as u32,
            gid: args.whole("gid", u64::from(u32::MAX - 1))? as u32,
        },
        "file.quarantine" => Action::QuarantinePath {
            path: args.path("path")?,
            only_if_sha256: args.required("only-if-sha256", Args::sha256)?,
        },
        "path.reclaim" => {
            let root = args.path("root")?;
            let entries = args.reclaim_entries("entries", &root)?;
            Action::ReclaimPaths { root, entries }
        }
        other => {
            return Err(format!(
                "capability `{}` is unknown; there are unit.restart, unit.reset-failed, file.restore, file.quarantine and path.reclaim",
                one_line(other, 64)
            ));
        }
    };
    args.finish()?;
    Ok(action)
}

/// An action as the capability and arguments that it came from.
pub(crate) fn capability(action: &Action) -> (&'static str, Vec<Arg>) {
    let text = |name: &str, value: &str| Some(Arg { name: name.to_owned(), value: Value::Text(value.to_owned()) });
    let maybe = |name: &str, value: &Option<String>| value.as_deref().and_then(|value| text(name, value));
    let whole = |name: &str, value: u64| {
        Some(Arg { name: name.to_owned(), value: Value::Integer(i64::try_from(value).unwrap_or(i64::MAX)) })
    };
    let (name, args) = match action {
        Action::RestartUnit { unit, only_if_invocation, only_if_active_state } => (
            "unit.restart",
            vec![
                text("unit", unit),
                maybe("invocation", only_if_invocation),
                text("active-state", only_if_active_state),
            ],
        ),
        Action::ResetFailedUnit { unit, only_if_invocation } => {
            ("unit.reset-failed", vec![text("unit", unit), maybe("invocation", only_if_invocation)])
        }
        Action::RestoreFile { path, only_if_sha256, sha256, bytes, mode, uid, gid } => (
            "file.restore",
            vec![
                text("path", path),
                maybe("only-if-sha256", only_if_sha256),
                text("sha256", sha256),
                whole("bytes", *bytes),
                whole("mode", u64::from(*mode)),
                whole("uid", u64::from(*uid)),
                whole("gid", u64::from(*gid)),
            ],
        ),
        Action::QuarantinePath { path, only_if_sha256 } => {
            ("file.quarantine", vec![text("path", path), text("only-if-sha256", only_if_sha256)])
        }
        Action::ReclaimPaths { root, entries } => {
            let texts = entries.iter().filter_map(|entry| {
                let wire = WireEntry {
                    path: entry.path.clone(),
                    files: entry.files,
                    bytes: entry.bytes,
                    newest_change_ns: u64::try_from(entry.newest_change.ns()).unwrap_or(0),
                };
                serde_json::to_string(&wire).ok()
            });
            let entries = Arg { name: "entries".to_owned(), value: Value::Texts(texts.collect()) };
            ("path.reclaim", vec![text("root", root), Some(entries)])
        }
    };
    (name, args.into_iter().flatten().collect())
}

struct Args<'a> {
    capability: &'a str,
    left: BTreeMap<&'a str, &'a Value>,
}

impl<'a> Args<'a> {
    fn new(capability: &'a str, args: &'a [Arg]) -> Result<Self, String> {
        let mut left = BTreeMap::new();
        for arg in args {
            if left.insert(arg.name.as_str(), &arg.value).is_some() {
                return Err(format!("argument `{}` is given twice", one_line(&arg.name, 64)));
            }
        }
        Ok(Self { capability, left })
    }

    fn finish(self) -> Result<(), String> {
        match self.left.keys().next() {
            Some(name) => Err(format!("argument `{}` is unknown to {}", one_line(name, 64), self.capability)),
            None => Ok(()),
        }
    }

    fn wrong(name: &str, value: &Value, wanted: &str) -> String {
        let found = match value {
            Value::Text(text) => format!("`{}`", one_line(text, 64)),
            Value::Integer(it) => it.to_string(),
            Value::Number(it) => it.to_string(),
            Value::Boolean(it) => it.to_string(),
            Value::Bytes(_) => "bytes".to_owned(),
            Value::Texts(_) => "a list of texts".to_owned(),
        };
        format!("argument `{name}` is {found}; it must be {wanted}")
    }

    fn required<T>(&mut self, name: &str, read: fn(&mut Self, &str) -> Result<Option<T>, String>) -> Result<T, String> {
        read(self, name)?.ok_or_else(|| format!("argument `{name}` is missing"))
    }

    fn text(&mut self, name: &str, wanted: &str, fits: impl Fn(&str) -> bool) -> Result<Option<String>, String> {
        match self.left.remove(name) {
            None => Ok(None),
            Some(Value::Text(text)) if fits(text) => Ok(Some(text.clone())),
            Some(other) => Err(Self::wrong(name, other, wanted)),
        }
    }

    fn unit(&mut self, name: &str) -> Result<String, String> {
        self.required(name, |args, name| args.text(name, "a full unit name such as `web.service`", is_unit_name))
    }

    fn path(&mut self, name: &str) -> Result<String, String> {
        self.required(name, |args, name| {
            args.text(name, "an absolute path without `.` and `..`", |path| is_plain_absolute(path) && path != "/")
        })
    }

    fn active_state(&mut self, name: &str) -> Result<String, String> {
        const STATES: [&str; 6] = ["active", "inactive", "failed", "activating", "deactivating", "reloading"];
        self.required(name, |args, name| args.text(name, "a unit's active state", |text| STATES.contains(&text)))
    }

    fn invocation(&mut self, name: &str) -> Result<Option<String>, String> {
        self.text(name, "32 hexadecimal digits", |text| is_hex(text, 32))
    }

    fn sha256(&mut self, name: &str) -> Result<Option<String>, String> {
        self.text(name, "64 hexadecimal digits", |text| is_hex(text, 64))
    }

    fn whole(&mut self, name: &str, most: u64) -> Result<u64, String> {
        match self.left.remove(name) {
            None => Err(format!("argument `{name}` is missing")),
            Some(value @ Value::Integer(it)) => u64::try_from(*it)
                .ok()
                .filter(|it| *it <= most)
                .ok_or_else(|| Self::wrong(name, value, &format!("a whole number from 0 to {most}"))),
            Some(other) => Err(Self::wrong(name, other, "a whole number")),
        }
    }

    fn reclaim_entries(&mut self, name: &str, root: &str) -> Result<Vec<ReclaimEntry>, String> {
        let texts = match self.left.remove(name) {
            None => return Err(format!("argument `{name}` is missing")),
            Some(Value::Texts(texts)) => texts,
            Some(other) => return Err(Self::wrong(name, other, "a list of texts")),
        };
        if texts.is_empty() || texts.len() > ENTRIES_MAX {
            return Err(format!("argument `{name}` has {} entries; 1 to {ENTRIES_MAX} are allowed", texts.len()));
        }
        let mut entries: Vec<ReclaimEntry> = Vec::with_capacity(texts.len());
        for text in texts {
            let wire: WireEntry = serde_json::from_str(text)
                .map_err(|error| format!("an entry of `{name}` is `{}`: {error}", one_line(text, 64)))?;
            if wire.path == root || !crate::capability::below(root, &wire.path) {
                return Err(format!("entry `{}` does not lie below `{root}`", one_line(&wire.path, 128)));
            }
            entries.push(ReclaimEntry {
                path: wire.path,
                files: wire.files,
                bytes: wire.bytes,
                newest_change: Timestamp::from_ns(
                    i64::try_from(wire.newest_change_ns)
                        .map_err(|_| format!("an entry of `{name}` lies after 2262"))?,
                ),
            });
        }
        let mut paths: Vec<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
        // Part by part, so that `a` and `a/b` stand beside each other even with an `a-b` around.
        paths.sort_unstable_by(|a, b| a.split('/').cmp(b.split('/')));
        let nested = paths.windows(2).find(|two| crate::capability::below(two[0], two[1]));
        match nested {
            Some(two) => {
                Err(format!("entry `{}` lies within entry `{}`", one_line(two[1], 128), one_line(two[0], 128)))
            }
            None => Ok(entries),
        }
    }
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// systemd's own rule: up to 255 of a closed set of characters, one dot before a known type; no glob.
fn is_unit_name(text: &str) -> bool {
    const TYPES: [&str; 11] =
        ["service", "socket", "target", "device", "mount", "automount", "swap", "timer", "path", "slice", "scope"];
    text.len() <= 255
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b":_.\\@-".contains(&b))
        && text.rsplit_once('.').is_some_and(|(stem, kind)| !stem.is_empty() && TYPES.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, value: &str) -> Arg {
        Arg { name: name.into(), value: Value::Text(value.into()) }
    }

    #[track_caller]
    fn check(capability: &str, args: &[Arg], refused: &str) {
        let error = action(capability, args).unwrap_err();
        assert!(error.contains(refused), "{error}");
    }

    #[test]
    fn what_does_not_fit_the_schema_is_refused_by_name() {
        let unit = text("unit", "web.service");
        let state = text("active-state", "failed");
        check("unit.restart", std::slice::from_ref(&state), "`unit` is missing");
        check("unit.restart", &[unit.clone(), state.clone(), text("force", "yes")], "`force` is unknown");
        check("unit.restart", &[unit.clone(), unit.clone(), state.clone()], "given twice");
        check("unit.restart", &[text("unit", "*.service"), state.clone()], "full unit name");
        check("unit.restart", &[text("unit", "web"), state.clone()], "full unit name");
        check("unit.restart", &[unit.clone(), text("active-state", "broken")], "active state");
        check("unit.restart", &[unit, state, text("invocation", "xyz")], "32 hexadecimal");
        check("process.kill", &[], "is unknown");
        check("file.quarantine", &[text("path", "/etc/../x"), text("only-if-sha256", &"a".repeat(64))], "absolute");
        check("file.quarantine", &[text("path", "/etc/x")], "`only-if-sha256` is missing");
        let restore = |bytes: i64, mode: i64| {
            let whole = |name: &str, value: i64| Arg { name: name.into(), value: Value::Integer(value) };
            let texts = vec![text("path", "/etc/x"), text("sha256", &"a".repeat(64))];
            [texts, vec![whole("bytes", bytes), whole("mode", mode), whole("uid", 0), whole("gid", 0)]].concat()
        };
        assert!(action("file.restore", &restore(64 << 20, 0o777)).is_ok());
        check("file.restore", &restore((64 << 20) + 1, 0o644), "`bytes` is 67108865");
        check("file.restore", &restore(5, 0o4755), "`mode` is 2541; it must be a whole number from 0 to 511");
    }

    #[test]
    fn reclaim_entries_lie_below_their_root_and_not_within_each_other() {
        let entry = |path: &str| format!("{{\"path\":\"{path}\",\"files\":1,\"bytes\":2,\"newest-change-ns\":3}}");
        let args = |paths: &[&str]| {
            let texts = paths.iter().map(|path| entry(path)).collect();
            vec![text("root", "/work"), Arg { name: "entries".into(), value: Value::Texts(texts) }]
        };
        assert!(action("path.reclaim", &args(&["/work/a", "/work/b"])).is_ok());
        check("path.reclaim", &args(&["/etc/a"]), "does not lie below");
        check("path.reclaim", &args(&["/work"]), "does not lie below");
        check("path.reclaim", &args(&["/work/../etc/a"]), "does not lie below");
        check("path.reclaim", &args(&["/work/a", "/work/a/b"]), "lies within");
        check("path.reclaim", &args(&["/work/a/b", "/work/a-b", "/work/a"]), "lies within");
        let many: Vec<String> = (0..=ENTRIES_MAX).map(|n| format!("/work/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check("path.reclaim", &args(&many), "has 4097 entries; 1 to 4096 are allowed");
        assert!(action("path.reclaim", &args(&many[1..])).is_ok());
        check("path.reclaim", &args(&[]), "0 entries");
    }

    #[test]
    fn every_action_comes_back_from_its_capability() {
        let sha = "a".repeat(64);
        for wanted in [
            Action::RestartUnit {
                unit: "web.service".into(),
                only_if_invocation: Some("b".repeat(32)),
                only_if_active_state: "failed".into(),
            },
            Action::ResetFailedUnit { unit: "web.service".into(), only_if_invocation: None },
            Action::RestoreFile {
                path: "/etc/app.conf".into(),
                only_if_sha256: None,
                sha256: sha.clone(),
                bytes: 3,
                mode: 0o644,
                uid: 0,
                gid: 5,
            },
            Action::QuarantinePath { path: "/srv/x".into(), only_if_sha256: sha },
            Action::ReclaimPaths {
                root: "/work".into(),
                entries: vec![ReclaimEntry {
                    path: "/work/a".into(),
                    files: 1,
                    bytes: 2,
                    newest_change: Timestamp::from_ns(3),
                }],
            },
        ] {
            let (name, args) = capability(&wanted);
            assert_eq!(action(name, &args), Ok(wanted));
        }
    }
}
