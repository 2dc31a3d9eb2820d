//! What the operator gives: `plugins.d/NAME.toml`. It can only narrow what the manifest asks for.
//!
//! No file, no grant: the plugin is listed and never called. A grant that names more than the manifest asks for is an error, because
//! the operator would believe in something that is not so.

use holdfast_core::model::{Action, Globs, Mode};
use serde::{Deserialize, Serialize};

use crate::capability::{below, matches};
use crate::manifest::{Manifest, Settings, globs_fit, paths_fit};
use crate::wishes::{Proposes, Wants};

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
    #[error("the grant gives `{what}` in `{key}`, which plugin {plugin} does not ask for; remove it{}", or_named(.through))]
    TooMuch {
        /// Which.
        key: &'static str,
        /// What.
        what: String,
        /// The plugin's id.
        plugin: String,
        /// Settings that would make it something that the plugin asks for.
        through: Vec<String>,
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

fn or_named(settings: &[String]) -> String {
    match settings {
        [] => String::new(),
        [one] => format!(", or name it in the setting {one}"),
        several => format!(", or name it in the settings {}", several.join(", ")),
    }
}

impl Grant {
    /// Parses `plugins.d/NAME.toml`.
    pub fn parse(text: &str) -> Result<Self, GrantError> {
        toml::from_str(text).map_err(|error| GrantError::Malformed(error.to_string()))
    }

    /// Everything that the manifest asks for, with its default settings: for developing and testing a plugin.
    pub fn everything(manifest: &Manifest, mode: Mode) -> Self {
        let (wants, proposes) = manifest.asked();
        Self {
            enabled: true,
            mode,
            digest: None,
            read: ReadGrant {
                files: wants.files,
                units: wants.units,
                processes: wants.processes,
                processes_cmdline: wants.processes_cmdline,
                metrics: wants.metrics,
                changes: wants.changes,
            },
            propose: ProposeGrant { actions: proposes.actions, units: proposes.units, paths: proposes.paths },
            settings: Settings::new(),
        }
    }
}

/// A manifest and a grant brought together: what a call may do, and with which settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// The manifest.
    pub manifest: Manifest,
    /// What it asks to read with these settings.
    pub wants: Wants,
    /// What it asks to propose with these settings.
    pub proposes: Proposes,
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
        let settings = merge(&manifest.settings, &grant.settings)?;
        let here = manifest.with_settings(&settings);
        here.names_places().map_err(|(key, why)| {
            let key = key.strip_prefix("settings.").unwrap_or(&key).to_owned();
            GrantError::Setting { key, why }
        })?;
        let (wants, proposes) = here.asked();
        narrower(&here, (&wants, &proposes), &grant)?;
        let settings = serde_json::to_string(&settings)
            .map_err(|error| GrantError::Setting { key: "settings".into(), why: error.to_string() })?;
        Ok(Self { manifest, wants, proposes, grant, settings })
    }
}

fn narrower(manifest: &Manifest, (wants, proposes): (&Wants, &Proposes), grant: &Grant) -> Result<(), GrantError> {
    let too_much = |key: &'static str, what: &str| {
        let through = match key {
            "read.files" => wants.files_from_settings.clone(),
            "propose.paths" => proposes.paths_from_settings.clone(),
            _ => Vec::new(),
        };
        Err(GrantError::TooMuch { key, what: what.to_owned(), plugin: manifest.id.clone(), through })
    };
    for path in &grant.read.files {
        if !wants.files.iter().any(|root| below(root, path)) {
            return too_much("read.files", path);
        }
    }
    let flags = [
        ("read.processes", grant.read.processes, wants.processes),
        ("read.processes-cmdline", grant.read.processes_cmdline, wants.processes_cmdline),
        ("read.metrics", grant.read.metrics, wants.metrics),
        ("read.changes", grant.read.changes, wants.changes),
    ];
    if let Some((key, ..)) = flags.into_iter().find(|(_, given, asked)| *given && !asked) {
        return too_much(key, "true");
    }
    for verb in &grant.propose.actions {
        if !Action::VERBS.contains(&verb.as_str()) {
            let why = format!("names `{verb}`; the verbs are {}", Action::VERBS.join(", "));
            return Err(GrantError::Value { key: "propose.actions", why });
        }
        if !proposes.actions.contains(verb) {
            return too_much("propose.actions", verb);
        }
    }
    // Two globs cannot be compared in general; both are asked at each use. Plain names can.
    for (key, given, asked, about) in [
        ("read.units", &grant.read.units, &wants.units, Globs::Units),
        ("propose.units", &grant.propose.units, &proposes.units, Globs::Units),
        ("propose.paths", &grant.propose.paths, &proposes.paths, Globs::Paths),
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
