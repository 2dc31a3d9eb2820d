//! `/etc/holdfast/actuator.toml`: what root lets happen on this host. What is not listed is refused.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use globset::GlobMatcher;
use holdfast_core::model::{Action, ByteSize, Globs, Interval};
use serde::Deserialize;

use crate::place::normal;
use crate::protocol::Code;
use crate::stop::Stop;

/// A file that root cannot have meant.
#[derive(Debug, thiserror::Error)]
pub enum AllowlistError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else could have written it.
    #[error("{path} {why}: it must belong to root and be writable by root alone")]
    Owner {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// Line, column and caret.
    #[error("{path}:\n{text}")]
    Syntax {
        /// The file.
        path: String,
        /// The parser's words.
        text: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    allow: Allow,
    #[serde(default)]
    restart_unit: Units,
    #[serde(default)]
    reset_failed_unit: Units,
    #[serde(default)]
    restore_file: Paths,
    #[serde(default)]
    quarantine_path: Paths,
    reclaim_paths: Option<Reclaim>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    #[serde(default)]
    users: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Units {
    #[serde(default)]
    units: Vec<UnitGlob>,
}

impl Units {
    fn lists(&self, unit: &str) -> bool {
        unit_name(unit) && self.units.iter().any(|glob| glob.0.is_match(unit))
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Paths {
    #[serde(default)]
    paths: Vec<PathGlob>,
}

/// Limits of `reclaim_paths`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Reclaim {
    #[serde(default)]
    roots: Vec<PathGlob>,
    max_bytes: ByteSize,
    max_entries: u64,
    min_age: Interval,
}

#[derive(Debug)]
struct UnitGlob(GlobMatcher);

impl<'de> Deserialize<'de> for UnitGlob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        matcher(deserializer, Globs::Units).map(Self)
    }
}

#[derive(Debug)]
struct PathGlob(GlobMatcher);

impl<'de> Deserialize<'de> for PathGlob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        matcher(deserializer, Globs::Paths).map(Self)
    }
}

fn matcher<'de, D: serde::Deserializer<'de>>(deserializer: D, about: Globs) -> Result<GlobMatcher, D::Error> {
    about.matcher(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// Root's word.
#[derive(Debug, Default)]
pub struct Allowlist(Document);

impl Allowlist {
    /// Reads and checks the file. Run as root, it must belong to root and be writable by root alone.
    pub fn load(path: &Path) -> Result<Self, AllowlistError> {
        let shown = path.display().to_string();
        let read = |source| AllowlistError::Read { path: shown.clone(), source };
        let file = fs::File::open(path).map_err(read)?;
        let meta = file.metadata().map_err(read)?;
        if rustix::process::geteuid().is_root() {
            let why = match () {
                () if meta.uid() != 0 => Some(format!("belongs to uid {}", meta.uid())),
                () if meta.mode() & 0o022 != 0 => Some(format!("has mode {:04o}", meta.mode() & 0o7777)),
                () => None,
            };
            if let Some(why) = why {
                return Err(AllowlistError::Owner { path: shown, why });
            }
        }
        let text = std::io::read_to_string(file).map_err(read)?;
        Self::parse(&text).map_err(|text| AllowlistError::Syntax { path: shown.clone(), text })
    }

    /// Parses the text; the error shows line, column and caret.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map(Self).map_err(|e| e.to_string())
    }

    /// The users who may ask; a number is a user id.
    pub(crate) fn users(&self) -> &[String] {
        &self.0.allow.users
    }

    /// How old the newest change must be before a path may be reclaimed.
    pub(crate) fn reclaim_min_age(&self) -> Duration {
        self.0.reclaim_paths.as_ref().map_or(Duration::MAX, |r| r.min_age.0)
    }

    /// Whether root listed this action on this target.
    pub(crate) fn check(&self, action: &Action) -> Result<(), Stop> {
        let listed = |globs: &[PathGlob], path: &str| globs.iter().any(|glob| glob.0.is_match(path));
        let no = |why: String| Err(Stop::Refused(Code::NotAllowed, why));
        let allowed = match action {
            Action::RestartUnit { unit, .. } => self.0.restart_unit.lists(unit),
            Action::ResetFailedUnit { unit, .. } => self.0.reset_failed_unit.lists(unit),
            Action::RestoreFile { path, .. } => listed(&self.0.restore_file.paths, normal(path)?),
            Action::QuarantinePath { path, .. } => listed(&self.0.quarantine_path.paths, normal(path)?),
            Action::ReclaimPaths { root, entries } => {
                normal(root)?;
                match &self.0.reclaim_paths {
                    None => false,
                    Some(limits) => {
                        let bytes = entries.iter().fold(0_u64, |sum, e| sum.saturating_add(e.bytes));
                        let files = entries.iter().fold(0_u64, |sum, e| sum.saturating_add(e.files));
                        if bytes > limits.max_bytes.0 {
                            return no(format!("{bytes} bytes are more than max-bytes = {}", limits.max_bytes));
                        }
                        if files.max(entries.len() as u64) > limits.max_entries {
                            return no(format!("{files} files are more than max-entries = {}", limits.max_entries));
                        }
                        listed(&limits.roots, root)
                    }
                }
            }
        };
        if allowed {
            Ok(())
        } else {
            no(format!("{} on {} is not listed in root's allow-list", action.verb(), action.target()))
        }
    }
}

fn unit_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.contains('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restart(unit: &str) -> Action {
        Action::RestartUnit { unit: unit.into(), only_if_invocation: None, only_if_active_state: "failed".into() }
    }

    #[test]
    fn nothing_is_allowed_until_root_says_so() {
        assert!(Allowlist::parse("").unwrap().check(&restart("web-1.service")).is_err());
        let list = Allowlist::parse("[restart_unit]\nunits = [\"web-*.service\"]").unwrap();
        assert!(list.check(&restart("web-1.service")).is_ok());
        for unit in ["ssh.service", "web-1.service/../x.service", "web-*.service", "web-1.socket"] {
            assert!(list.check(&restart(unit)).is_err(), "{unit}");
        }
        let list_of_one = Allowlist::parse("[restart_unit]\nunits = ['my\\x2dapp.service']").unwrap();
        assert!(list_of_one.check(&restart(r"my\x2dapp.service")).is_ok(), "a unit's escaped name is that unit");
        assert!(list_of_one.check(&restart("myx2dapp.service")).is_err());
        let reset = Action::ResetFailedUnit { unit: "web-1.service".into(), only_if_invocation: None };
        assert!(list.check(&reset).is_err(), "one verb does not open another");
    }

    #[test]
    fn a_path_with_dots_is_refused_before_it_is_matched() {
        let list = Allowlist::parse("[quarantine_path]\npaths = [\"/srv/**\"]").unwrap();
        let action = |path: &str| Action::QuarantinePath { path: path.into(), only_if_sha256: "0".repeat(64) };
        assert!(list.check(&action("/srv/a/b")).is_ok());
        for path in ["/srv/../etc/passwd", "/srv//a", "/srv/./a", "srv/a", "/srv/a/", "/srv/a\0b", "/etc/passwd"] {
            assert!(list.check(&action(path)).is_err(), "{path:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line() {
        let error = Allowlist::parse("[allow]\nusers = []\nuser = []").unwrap_err();
        assert!(error.contains("line 3"), "{error}");
    }
}
