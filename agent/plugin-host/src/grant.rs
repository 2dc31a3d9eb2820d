//! What the operator gives: `plugins.d/NAME.toml`. It can only narrow what the manifest asks for.
//!
//! No file, no grant: the plugin is listed and never called. A grant that names more than the manifest asks for is an error, because
//! the operator would believe in something that is not so.

use holdfast_core::model::{Action, Globs, Mode};
use serde::{Deserialize, Serialize};

use crate::capability::{below, matches};
use crate::manifest::{Manifest, Settings, globs_fit, paths_fit};

/// The content of `plugins.d/NAME.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Grant {
    /// Whether the plugin is used at all; `plugin disable` writes `false`. Default: true.
    #[serde(skip_serializing_if = "is_true")]
    pub enabled: bool,
    /// How far its proposals may go on this host. Default: `advise`.
    pub mode: Mode,
    /// SHA-256 of the component that this grant is for; another component is refused. Default: any.
    pub digest: Option<String>,
    /// What it may read.
    pub read: ReadGrant,
    /// What it may propose.
    pub propose: ProposeGrant,
    /// Settings that differ from the manifest's defaults.
    pub settings: Settings,
}

impl Default for Grant {
    fn default() -> Self {
        Self {
            enabled: true,
            mode: Mode::Advise,
            digest: None,
            read: ReadGrant::default(),
            propose: ProposeGrant::default(),
            settings: Settings::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_true(it: &bool) -> bool {
    *it
}

/// What a plugin may read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReadGrant {
    /// Absolute paths: everything below, as far as the agent's own user may read it.
    pub files: Vec<String>,
    /// Globs of unit names.
    pub units: Vec<String>,
    /// The process list.
    pub processes: bool,
    /// Command lines of processes, which hold secrets.
    pub processes_cmdline: bool,
    /// The host's own telemetry.
    pub metrics: bool,
    /// The change ledger.
    pub changes: bool,
}

/// What a plugin may propose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProposeGrant {
    /// Verbs: `restart_unit`.
    pub actions: Vec<String>,
    /// Globs of unit names to act on.
    pub units: Vec<String>,
    /// Globs of absolute paths to act on.
    pub paths: Vec<String>,
}

/// A grant that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Not a document of the wanted shape; position and remedy are in the text.
    #[error("the grant cannot be read\n{0}")]
    Malformed(String),
    /// A value that makes no sense.
    #[error("the grant's `{key}` {why}")]
    Value {
        /// Which.
        key: &'static str,
        /// Why not.
        why: String,
    },
    /// More than the manifest asks for.
    #[error("the grant gives `{what}` in `{key}`, which plugin {plugin} does not ask for; remove it")]
    TooMuch {
        /// Which.
        key: &'static str,
        /// What.
        what: String,
        /// The plugin's id.
        plugin: String,
    },
    /// It was written for another component.
    #[error(
        "the grant is for the component with SHA-256 {wanted}, this one has {found}; review it and correct `digest`"
    )]
    OtherComponent {
        /// The pinned digest.
        wanted: String,
        /// This one's.
        found: String,
    },
    /// A setting that the manifest does not know, or of another type.
    #[error("the setting `{key}` {why}")]
    Setting {
        /// Its name.
        key: String,
        /// What is wrong.
        why: String,
    },
}

impl Grant {
    /// Parses `plugins.d/NAME.toml`.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        toml::from_str(text).map_err(|error| GrantError::Malformed(error.to_string()))
    }

    /// Everything that the manifest asks for, with its default settings: for developing and testing a plugin.
    pub fn everything(manifest: &Manifest, mode: Mode) -> Self {
        Self {
            enabled: true,
            mode,
            digest: None,
            read: ReadGrant {
                files: manifest.wants.files.clone(),
                units: manifest.wants.units.clone(),
                processes: manifest.wants.processes,
                processes_cmdline: manifest.wants.processes_cmdline,
                metrics: manifest.wants.metrics,
                changes: manifest.wants.changes,
            },
            propose: ProposeGrant {
                actions: manifest.proposes.actions.clone(),
                units: manifest.proposes.units.clone(),
                paths: manifest.proposes.paths.clone(),
            },
            settings: Settings::new(),
        }
    }
}

/// A manifest and a grant brought together: what a call may do, and with which settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The manifest's wish.
    pub manifest: Manifest,
    /// The operator's grant.
    pub grant: Grant,
    /// Defaults with the operator's values over them, as JSON.
    pub settings: String,
}

impl Effective {
    /// Checks the grant against the manifest and the component.
    pub fn new(manifest: Manifest, grant: Grant, digest: &str) -> Result<Self, GrantError> {
        if let Some(wanted) = grant.digest.as_deref()
            && wanted.strip_prefix("sha256:").unwrap_or(wanted) != digest
        {
            return Err(GrantError::OtherComponent { wanted: wanted.to_owned(), found: digest.to_owned() });
        }
        for (key, globs, about) in [
            ("read.units", &grant.read.units, Globs::Units),
            ("propose.units", &grant.propose.units, Globs::Units),
            ("propose.paths", &grant.propose.paths, Globs::Paths),
        ] {
            globs_fit(about, key, globs).map_err(|why| GrantError::Value { key, why })?;
        }
        paths_fit(&grant.read.files).map_err(|why| GrantError::Value { key: "read.files", why })?;
        narrower(&manifest, &grant)?;
        let settings = merge(&manifest.settings, &grant.settings)?;
        let settings = serde_json::to_string(&settings)
            .map_err(|error| GrantError::Setting { key: "settings".into(), why: error.to_string() })?;
        Ok(Self { manifest, grant, settings })
    }
}

fn narrower(manifest: &Manifest, grant: &Grant) -> Result<(), GrantError> {
    let too_much = |key: &'static str, what: &str| {
        Err(GrantError::TooMuch { key, what: what.to_owned(), plugin: manifest.id.clone() })
    };
    for path in &grant.read.files {
        if !manifest.wants.files.iter().any(|root| below(root, path)) {
            return too_much("read.files", path);
        }
    }
    let flags = [
        ("read.processes", grant.read.processes, manifest.wants.processes),
        ("read.processes-cmdline", grant.read.processes_cmdline, manifest.wants.processes_cmdline),
        ("read.metrics", grant.read.metrics, manifest.wants.metrics),
        ("read.changes", grant.read.changes, manifest.wants.changes),
    ];
    if let Some((key, ..)) = flags.into_iter().find(|(_, given, asked)| *given && !asked) {
        return too_much(key, "true");
    }
    for verb in &grant.propose.actions {
        if !Action::VERBS.contains(&verb.as_str()) {
            let why = format!("names `{verb}`; the verbs are {}", Action::VERBS.join(", "));
            return Err(GrantError::Value { key: "propose.actions", why });
        }
        if !manifest.proposes.actions.contains(verb) {
            return too_much("propose.actions", verb);
        }
    }
    // Two globs cannot be compared in general; both are asked at each use. Plain names can.
    for (key, given, asked, about) in [
        ("read.units", &grant.read.units, &manifest.wants.units, Globs::Units),
        ("propose.units", &grant.propose.units, &manifest.proposes.units, Globs::Units),
        ("propose.paths", &grant.propose.paths, &manifest.proposes.paths, Globs::Paths),
    ] {
        for name in given.iter().filter(|name| about.is_one(name)) {
            if !matches(about, asked, name) {
                return too_much(key, name);
            }
        }
        if asked.is_empty() && !given.is_empty() {
            return too_much(key, &given[0]);
        }
    }
    Ok(())
}

fn merge(defaults: &Settings, given: &Settings) -> Result<Settings, GrantError> {
    use serde_json::Value;
    let mut merged = defaults.clone();
    for (key, value) in given {
        let Some(default) = defaults.get(key) else {
            let known: Vec<&str> = defaults.keys().map(String::as_str).collect();
            let why = if known.is_empty() {
                "is unknown; this plugin has no settings".to_owned()
            } else {
                format!("is unknown; the settings are {}", known.join(", "))
            };
            return Err(GrantError::Setting { key: key.clone(), why });
        };
        let fits = match (default, value) {
            (Value::Number(a), Value::Number(b)) => a.is_f64() || !b.is_f64(),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        };
        if !fits {
            let why = format!("is {value}; it must be of the same type as its default {default}");
            return Err(GrantError::Setting { key: key.clone(), why });
        }
        merged.insert(key.clone(), value.clone());
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "id = \"x\"\nversion = \"1.0.0\"\n[wants]\nfiles = [\"/srv\"]\nunits = [\"web-*.service\"]\n\
                            [proposes]\nactions = [\"restart_unit\"]\nunits = [\"*.service\"]\n[settings]\nkeep = 3\n";

    #[track_caller]
    fn check(grant: &str, refused: Option<&str>) {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        let result = Grant::parse(grant).and_then(|grant| Effective::new(manifest, grant, &"a".repeat(64)));
        match (result, refused) {
            (Ok(_), None) => {}
            (Err(error), Some(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
            (other, _) => panic!("{grant}: {other:?}"),
        }
    }

    #[test]
    fn what_was_asked_for_can_be_given_whole_or_in_part() {
        check("[read]\nfiles = [\"/srv/app\"]\nunits = [\"web-1.service\"]\n", None);
        check("mode = \"auto\"\n[propose]\nactions = [\"restart_unit\"]\nunits = [\"web-*\"]\n", None);
    }

    #[test]
    fn more_than_was_asked_for_is_refused() {
        check("[read]\nfiles = [\"/\"]\n", Some("does not ask for"));
        check("[read]\nfiles = [\"/srvx\"]\n", Some("does not ask for"));
        check("[read]\nunits = [\"ssh.service\"]\n", Some("does not ask for"));
        check("[read]\nprocesses = true\n", Some("read.processes"));
        check("[propose]\nactions = [\"reclaim_paths\"]\n", Some("does not ask for"));
        check("[propose]\npaths = [\"/srv/**\"]\n", Some("does not ask for"));
    }

    #[test]
    fn a_unit_whose_name_systemd_escaped_can_be_asked_for_and_given_by_that_name() {
        let units = r"['srv-my\x2ddata.mount', 'a\\99.service']";
        let manifest = Manifest::parse(&format!(
            "id = \"x\"\nversion = \"1.0.0\"\n[wants]\nunits = {units}\n[proposes]\nunits = {units}\npaths = ['/srv/a\\b']\n"
        ))
        .unwrap();
        let everything = Grant::everything(&manifest, Mode::Auto);
        let own = Effective::new(manifest.clone(), everything, "");
        assert!(own.is_ok(), "{own:?}");
        let other = Grant::parse("[read]\nunits = ['srv-myx2ddata.mount']\n").unwrap();
        let refused = Effective::new(manifest, other, "").unwrap_err().to_string();
        assert!(refused.contains("does not ask for"), "{refused}");
    }

    #[test]
    fn a_setting_keeps_its_name_and_type() {
        check("[settings]\nkeep = 5\n", None);
        check("[settings]\nkeep = \"5\"\n", Some("same type"));
        check("[settings]\nkepe = 5\n", Some("the settings are keep"));
    }

    #[test]
    fn a_grant_for_another_component_is_refused() {
        check("digest = \"bbbb\"\n", Some("is for the component"));
    }
}
