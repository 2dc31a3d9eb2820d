//! One function for each capability that there is; each takes what the guard needs, so a step without its guard cannot be written.
//!
//! A step begins [`Unexplained`]: only with a reason does it become a [`Step`]. Nothing here acts.

use crate::bindings::host::types::{Arg, Value};
use crate::bindings::remediator as wire;
use crate::host::units::UnitStatus;
use crate::text::line;
use crate::{Error, HostPath, Sha256};

pub use crate::bindings::remediator::Risk;

/// What to do, not yet why.
///
/// ```
/// use holdfast_plugin_sdk::host::units::UnitStatus;
/// use holdfast_plugin_sdk::step;
/// let what = step::restart_unit(&UnitStatus { name: "web.service".into(), ..UnitStatus::default() });
/// let step = what.because("it has failed with result signal"); // without a reason there is no step
/// assert_eq!(step.rationale(), "it has failed with result signal");
/// ```
#[derive(Debug, Clone)]
#[must_use = "say why with `because`"]
pub struct Unexplained {
    capability: &'static str,
    args: Vec<Arg>,
    risk: Risk,
    reversible: bool,
    timeout_ms: u32,
}

/// One step of a plan.
///
/// ```
/// use holdfast_plugin_sdk::host::units::UnitStatus;
/// use holdfast_plugin_sdk::step::{self, Risk};
///
/// let seen = UnitStatus { name: "web.service".into(), active: "failed".into(), ..UnitStatus::default() };
/// let step = step::restart_unit(&seen)
///     .because("it has crashed three times within an hour")
///     .may_also("Clients lose their connections.")
///     .risk(Risk::Medium)
///     .within_ms(30_000);
/// assert_eq!((step.capability(), step.text_arg("unit")), ("unit.restart", Some("web.service")));
/// assert_eq!(step.side_effects(), ["Clients lose their connections."]);
/// ```
#[derive(Debug, Clone)]
pub struct Step(wire::Step);

/// Who owns a file and what may be done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Permission bits, `0o644`; set-id and sticky bits are never restored.
    pub mode: u32,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Something to remove: a file, or a whole tree below one directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reclaim {
    /// Strictly below the root of the step.
    pub path: HostPath,
    /// Regular files in it; 1 for a file.
    pub files: u64,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// Guard, nanoseconds since the epoch: refused when any file in it was altered after this.
    pub newest_change_ns: u64,
}

fn arg(name: &str, value: impl Into<Value>) -> Arg {
    Arg { name: name.to_owned(), value: value.into() }
}

fn small(capability: &'static str, args: Vec<Arg>) -> Unexplained {
    Unexplained { capability, args, risk: Risk::Low, reversible: true, timeout_ms: 30_000 }
}

/// Stop and start a unit (a failed one is started). Refused at execution when it was started since, or when it is no longer in the
/// active state of `seen`.
///
/// ```
/// use holdfast_plugin_sdk::host::units::UnitStatus;
/// use holdfast_plugin_sdk::step;
/// let seen = UnitStatus { invocation_id: Some("ab".repeat(16)), active: "active".into(), ..UnitStatus::default() };
/// let step = step::restart_unit(&seen).because("it grew to its limit");
/// // Both guards are what was seen: a unit that was started meanwhile is left alone.
/// assert_eq!((step.text_arg("active-state"), step.text_arg("invocation").map(str::len)), (Some("active"), Some(32)));
/// ```
pub fn restart_unit(seen: &UnitStatus) -> Unexplained {
    restart_unit_when(seen, &seen.active)
}

/// As [`restart_unit`], for a unit that an earlier step of the plan brings into another active state: after [`reset_failed`] it is
/// `inactive`.
///
/// ```
/// use holdfast_plugin_sdk::host::units::UnitStatus;
/// use holdfast_plugin_sdk::step;
/// let failed = UnitStatus { active: "failed".into(), ..UnitStatus::default() };
/// let first = step::reset_failed(&failed).because("it has used up its starts");
/// let then = step::restart_unit_when(&failed, "inactive").because("its database answers again");
/// assert_eq!((first.capability(), then.text_arg("active-state")), ("unit.reset-failed", Some("inactive")));
/// ```
pub fn restart_unit_when(seen: &UnitStatus, active_state: &str) -> Unexplained {
    let mut args = vec![arg("unit", seen.name.as_str()), arg("active-state", active_state)];
    args.extend(seen.invocation_id.as_deref().map(|id| arg("invocation", id)));
    Unexplained { timeout_ms: 90_000, ..small("unit.restart", args) }
}

/// Clear a unit's failed state and its start-limit counter. Refused at execution when it was started since.
///
/// ```
/// use holdfast_plugin_sdk::host::units::UnitStatus;
/// use holdfast_plugin_sdk::step;
/// let step = step::reset_failed(&UnitStatus { name: "a.service".into(), ..UnitStatus::default() }).because("it gave up");
/// assert_eq!(step.text_arg("unit"), Some("a.service"));
/// ```
pub fn reset_failed(seen: &UnitStatus) -> Unexplained {
    let mut args = vec![arg("unit", seen.name.as_str())];
    args.extend(seen.invocation_id.as_deref().map(|id| arg("invocation", id)));
    Unexplained { risk: Risk::None, ..small("unit.reset-failed", args) }
}

/// Put a file back to a content that the agent has on record. `found` is the digest of what lies there now; `None`: nothing does.
/// The agent replaces size and owner by its own record, where it has one.
///
/// ```
/// use holdfast_plugin_sdk::step::{self, Owner};
/// use holdfast_plugin_sdk::{HostPath, Sha256};
/// let (found, good) = (Sha256::from_bytes(&[1; 32]), Sha256::from_bytes(&[2; 32]));
/// let owner = Owner { mode: 0o100_644, uid: 0, gid: 0 };
/// let step = step::restore_file(&HostPath::new("/etc/app.conf")?, Some(&found), &good, 120, owner).because("it was edited by hand");
/// assert_eq!((step.integer_arg("mode"), step.text_arg("only-if-sha256")), (Some(0o644), Some(found.as_str())));
/// # Ok::<(), holdfast_plugin_sdk::Error>(())
/// ```
pub fn restore_file(path: &HostPath, found: Option<&Sha256>, to: &Sha256, bytes: u64, owner: Owner) -> Unexplained {
    let mut args = vec![
        arg("path", path.as_str()),
        arg("sha256", to.as_str()),
        arg("bytes", bytes),
        arg("mode", owner.mode & 0o777),
        arg("uid", owner.uid),
        arg("gid", owner.gid),
    ];
    args.extend(found.map(|sha256| arg("only-if-sha256", sha256.as_str())));
    small("file.restore", args)
}

/// Move a file to where only root can reach it. Refused at execution when its content is another by then.
///
/// ```
/// use holdfast_plugin_sdk::{HostPath, Sha256, step};
/// let found = Sha256::from_bytes(&[7; 32]);
/// let step = step::quarantine(&HostPath::new("/srv/app/dropper")?, &found).because("no release holds it");
/// assert_eq!(step.text_arg("only-if-sha256"), Some(found.as_str()));
/// # Ok::<(), holdfast_plugin_sdk::Error>(())
/// ```
pub fn quarantine(path: &HostPath, found: &Sha256) -> Unexplained {
    let args = vec![arg("path", path.as_str()), arg("only-if-sha256", found.as_str())];
    Unexplained { risk: Risk::Medium, ..small("file.quarantine", args) }
}

/// Remove files that nobody needs. It cannot be undone, so the step says so by itself. Entries lie strictly below the root, none in
/// another.
///
/// ```
/// use holdfast_plugin_sdk::{HostPath, step};
/// let root = HostPath::new("/var/cache/runner")?;
/// let old = step::Reclaim { path: root.join("node/16.0.0")?, files: 900, bytes: 80 << 20, newest_change_ns: 1_700_000_000_000_000_000 };
/// let step = step::reclaim(&root, &[old.clone()])?.because("unused for 40 days");
/// assert_eq!((step.texts_arg("entries").len(), step.side_effects()), (1, &["This cannot be undone.".to_owned()][..]));
/// assert!(step::reclaim(&HostPath::new("/srv")?, &[old]).is_err(), "it does not lie below the root");
/// # Ok::<(), holdfast_plugin_sdk::Error>(())
/// ```
pub fn reclaim(root: &HostPath, entries: &[Reclaim]) -> Result<Unexplained, Error> {
    if entries.is_empty() {
        return Err(Error::Invalid("a reclaim step without entries".to_owned()));
    }
    for entry in entries {
        if root.below(entry.path.as_str()).is_none() {
            return Err(Error::Invalid(format!("{} does not lie below {root}", entry.path)));
        }
        if let Some(outer) = entries.iter().find(|other| other.path.below(entry.path.as_str()).is_some()) {
            return Err(Error::Invalid(format!(
                "{} is listed, and lies in {} which is listed too",
                entry.path, outer.path
            )));
        }
    }
    let json = |entry: &Reclaim| {
        serde_json::json!({
            "path": entry.path.as_str(),
            "files": entry.files,
            "bytes": entry.bytes,
            "newest-change-ns": entry.newest_change_ns,
        })
        .to_string()
    };
    let args = vec![arg("root", root.as_str()), arg("entries", entries.iter().map(json).collect::<Vec<_>>())];
    let step = small("path.reclaim", args);
    Ok(Unexplained { risk: Risk::Medium, reversible: false, timeout_ms: 600_000, ..step })
}

impl Unexplained {
    /// Why: one line for the person who approves, with the numbers.
    pub fn because(self, rationale: &str) -> Step {
        let side_effects = if self.reversible { vec![] } else { vec!["This cannot be undone.".to_owned()] };
        Step(wire::Step {
            id: String::new(),
            capability: self.capability.to_owned(),
            args: self.args,
            rationale: line(rationale),
            side_effects,
            risk: self.risk,
            preconditions: vec![],
            undo: wire::Undo { reversible: self.reversible, capability: String::new(), args: vec![] },
            timeout_ms: self.timeout_ms,
        })
    }
}

impl Step {
    /// What else it may bring about.
    #[must_use]
    pub fn may_also(mut self, side_effect: &str) -> Self {
        self.0.side_effects.push(line(side_effect));
        self
    }

    /// The plugin's own view of the risk; never below the capability's own.
    #[must_use]
    pub fn risk(mut self, risk: Risk) -> Self {
        if (risk as u8) > (self.0.risk as u8) {
            self.0.risk = risk;
        }
        self
    }

    /// Longest time that it may take: 1 ms to 10 minutes.
    #[must_use]
    pub fn within_ms(mut self, timeout_ms: u32) -> Self {
        self.0.timeout_ms = timeout_ms.clamp(1, 600_000);
        self
    }

    /// `unit.restart`, …
    pub fn capability(&self) -> &str {
        &self.0.capability
    }

    /// An argument that is a text.
    pub fn text_arg(&self, name: &str) -> Option<&str> {
        self.0.args.iter().find(|a| a.name == name).and_then(|a| match &a.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An argument that is a list of texts.
    pub fn texts_arg(&self, name: &str) -> &[String] {
        self.0.args.iter().find(|a| a.name == name).map_or(&[], |a| match &a.value {
            Value::Texts(texts) => texts,
            _ => &[],
        })
    }

    /// An argument that is a whole number.
    pub fn integer_arg(&self, name: &str) -> Option<i64> {
        self.0.args.iter().find(|a| a.name == name).and_then(|a| match a.value {
            Value::Integer(n) => Some(n),
            _ => None,
        })
    }

    /// What else it may bring about, as stated.
    pub fn side_effects(&self) -> &[String] {
        &self.0.side_effects
    }

    /// Why, as stated.
    pub fn rationale(&self) -> &str {
        &self.0.rationale
    }

    pub(crate) fn into_wire(self, id: usize) -> wire::Step {
        wire::Step { id: id.to_string(), ..self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Reclaim {
        Reclaim { path: HostPath::new(path).unwrap(), files: 2, bytes: 10, newest_change_ns: 5 }
    }

    #[test]
    fn a_reclaim_step_lists_exactly_what_goes_and_says_that_it_is_final() {
        let root = HostPath::new("/w").unwrap();
        let step = reclaim(&root, &[entry("/w/a"), entry("/w/ab")]).unwrap().because("old");
        assert_eq!(step.texts_arg("entries")[0], r#"{"bytes":10,"files":2,"newest-change-ns":5,"path":"/w/a"}"#);
        assert_eq!(step.side_effects(), ["This cannot be undone."]);
        assert!(!step.0.undo.reversible);
    }

    #[test]
    fn what_lies_outside_the_root_or_in_another_entry_is_refused() {
        let root = HostPath::new("/w").unwrap();
        for entries in [&[][..], &[entry("/w")], &[entry("/wx/a")], &[entry("/w/a"), entry("/w/a/b")]] {
            assert!(reclaim(&root, entries).is_err(), "{entries:?}");
        }
    }

    #[test]
    fn a_restart_carries_both_guards() {
        let seen = UnitStatus {
            name: "w.service".into(),
            active: "failed".into(),
            invocation_id: Some("ab".into()),
            ..UnitStatus::default()
        };
        let step = restart_unit(&seen).because("it crashed");
        assert_eq!(step.text_arg("invocation"), Some("ab"));
        assert_eq!(step.text_arg("active-state"), Some("failed"));
        let step = reset_failed(&UnitStatus { invocation_id: None, ..seen }).because("never started");
        assert_eq!(step.text_arg("invocation"), None);
    }

    #[test]
    fn the_stated_risk_can_only_rise() {
        let seen = UnitStatus::default();
        assert_eq!(restart_unit(&seen).because("x").risk(Risk::None).0.risk, Risk::Low);
        assert_eq!(restart_unit(&seen).because("x").risk(Risk::High).0.risk, Risk::High);
    }
}
