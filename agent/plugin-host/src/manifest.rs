//! The manifest: what a plugin is and what it asks for, read without running it.
//!
//! It is `plugin.toml`, embedded in the component as the custom section `holdfast-manifest`. Its word about roles is checked against the
//! exports; its word about capabilities is an upper bound that the operator's grant can only narrow.

use std::collections::BTreeMap;

use holdfast_core::model::{Action, ByteSize, Globs, Interval};
use serde::{Deserialize, Serialize};

use crate::limits::{COMPONENT_BYTES_MAX, GLOBS_MAX, NAME_BYTES_MAX};
use crate::wishes::{Proposes, Wants};

/// Name of the component's custom section that holds `plugin.toml`.
pub const SECTION: &str = "holdfast-manifest";
/// Metrics that one detector judges.
const DETECTED_METRICS_MAX: usize = 16;
/// A manifest is a page or two.
const MANIFEST_BYTES_MAX: usize = 64 * 1024;

/// Settings by name; values of TOML as JSON.
pub type Settings = BTreeMap<String, serde_json::Value>;

/// What a plugin is and asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// `unit-medic`: 1 to 64 of `a-z 0-9 -`.
    pub id: String,
    /// `0.1.0`.
    pub version: String,
    /// One line for people.
    #[serde(default)]
    pub description: String,
    /// `collector`, `check`, `detector`, `remediator`; must be what the component exports.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Finding kinds that it wants to be asked about; a `*` at the end stands for any rest.
    #[serde(default)]
    pub subscriptions: Vec<String>,
    /// How often it wants to collect, check or judge.
    #[serde(default)]
    pub schedule: Option<Interval>,
    /// What it wants to read.
    #[serde(default)]
    pub wants: Wants,
    /// What it may propose.
    #[serde(default)]
    pub proposes: Proposes,
    /// What a detector judges.
    #[serde(default, skip_serializing_if = "Detects::is_nothing")]
    pub detects: Detects,
    /// Its settings and their default values.
    #[serde(default)]
    pub settings: Settings,
    /// Limits below the host's own.
    #[serde(default)]
    pub limits: PluginLimits,
}

/// What a detector judges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Detects {
    /// Names of metrics; it is handed all series of each.
    pub metrics: Vec<String>,
    /// How far back it is handed them: "1m" to "1d". Default: "15m".
    pub window: Interval,
}

impl Default for Detects {
    fn default() -> Self {
        Self { metrics: Vec::new(), window: Interval::secs(15 * 60) }
    }
}

impl Detects {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn check(&self, manifest: &Manifest) -> Result<(), (&'static str, String)> {
        let is_detector = manifest.roles.iter().any(|role| role == "detector");
        if !is_detector {
            let unused =
                (!self.is_nothing()).then_some(("detects", "is for plugins with the role `detector`".to_owned()));
            return unused.map_or(Ok(()), Err);
        }
        if !(1..=DETECTED_METRICS_MAX).contains(&self.metrics.len()) {
            let why = format!("has {} names; 1 to {DETECTED_METRICS_MAX} are allowed", self.metrics.len());
            return Err(("detects.metrics", why));
        }
        let is_name = |name: &&String| (1..=128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        if let Some(name) = self.metrics.iter().find(|name| !is_name(name)) {
            let why = format!("has `{}`; write names as `holdfast metrics list` shows them", name.escape_debug());
            return Err(("detects.metrics", why));
        }
        if !manifest.wants.metrics {
            return Err(("wants.metrics", "is not `true`; a detector is handed the host's own telemetry".to_owned()));
        }
        let (least, most) = (std::time::Duration::from_mins(1), std::time::Duration::from_hours(24));
        if !(least..=most).contains(&self.window.0) {
            return Err(("detects.window", "is not from \"1m\" to \"1d\"".to_owned()));
        }
        Ok(())
    }
}

/// Limits that a plugin sets itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginLimits {
    /// Memory of one instance.
    pub memory_max: Option<ByteSize>,
    /// Wall time of one call.
    pub deadline: Option<Interval>,
}

/// A manifest that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The component carries none.
    #[error("the component has no `{SECTION}` section; build it with `holdfast plugin build` or `cargo xtask guests`")]
    Missing,
    /// More than one, so that two readers could see two manifests.
    #[error("the component has {0} `{SECTION}` sections; exactly one is allowed")]
    Several(usize),
    /// Not a document of the wanted shape; position and remedy are in the text.
    #[error("the manifest cannot be read\n{0}")]
    Malformed(String),
    /// A value that makes no sense.
    #[error("the manifest's `{key}` {why}")]
    Value {
        /// Which.
        key: String,
        /// Why not, and what to write instead.
        why: String,
    },
    /// The bytes are no component.
    #[error("{0}")]
    Component(String),
}

/// Reads a component's manifest without compiling or running anything.
pub fn manifest_of(component: &[u8]) -> Result<Manifest, ManifestError> {
    if component.len() > COMPONENT_BYTES_MAX {
        return Err(ManifestError::Component(format!(
            "the file has {} bytes; a component may have {COMPONENT_BYTES_MAX}",
            component.len()
        )));
    }
    let mut found: Vec<&[u8]> = Vec::new();
    let mut depth = 0_u32;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload.map_err(|error| ManifestError::Component(unreadable(component, &error)))? {
            wasmparser::Payload::ModuleSection { .. } | wasmparser::Payload::ComponentSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth = depth.saturating_sub(1),
            // Only the outermost component's own section counts: a nested module must not speak for the whole.
            wasmparser::Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                found.push(section.data());
            }
            _ => {}
        }
    }
    match found.as_slice() {
        [] => Err(ManifestError::Missing),
        [one] => std::str::from_utf8(one)
            .map_err(|_| ManifestError::Malformed("it is not UTF-8 text".to_owned()))
            .and_then(Manifest::parse),
        several => Err(ManifestError::Several(several.len())),
    }
}

/// What is wrong with bytes that do not parse, in words that help.
pub(crate) fn unreadable(bytes: &[u8], error: &wasmparser::BinaryReaderError) -> String {
    if !bytes.starts_with(b"\0asm") {
        return "the file is not WebAssembly: it does not begin with `\\0asm`".to_owned();
    }
    let text = error.message();
    if text.contains("unexpected end") {
        return format!("the component is truncated: it ends at byte {} of a longer file; copy it again", bytes.len());
    }
    format!("the component is damaged at byte {}: {text}", error.offset())
}

impl Manifest {
    /// Parses and checks `plugin.toml`.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        if text.len() > MANIFEST_BYTES_MAX {
            let why = format!("it has {} bytes; {MANIFEST_BYTES_MAX} are allowed", text.len());
            return Err(ManifestError::Malformed(why));
        }
        let manifest: Self = toml::from_str(text).map_err(|error| ManifestError::Malformed(error.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The first number of the version: the version of its methods.
    pub fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0)
    }

    fn check(&self) -> Result<(), ManifestError> {
        let value = |key: &str, why: String| Err(ManifestError::Value { key: key.to_owned(), why });
        if !is_id(&self.id) {
            return value("id", format!("is `{}`; write 1 to 64 of a-z 0-9 and -, for example `unit-medic`", self.id));
        }
        let parts: Vec<&str> = self.version.split('.').collect();
        if parts.len() != 3 || parts.iter().any(|part| part.parse::<u32>().is_err()) {
            return value("version", format!("is `{}`; write three numbers, for example `0.1.0`", self.version));
        }
        if self.description.len() > 512 {
            return value("description", "is longer than 512 bytes".to_owned());
        }
        plain(&self.description).map_err(|why| ManifestError::Value { key: "description".to_owned(), why })?;
        for verb in &self.proposes.actions {
            if !Action::VERBS.contains(&verb.as_str()) {
                return value(
                    "proposes.actions",
                    format!("names `{verb}`; the verbs are {}", Action::VERBS.join(", ")),
                );
            }
        }
        for (key, globs, about) in [
            ("wants.units", &self.wants.units, Globs::Units),
            ("proposes.units", &self.proposes.units, Globs::Units),
            ("proposes.paths", &self.proposes.paths, Globs::Paths),
            ("subscriptions", &self.subscriptions, Globs::Paths),
        ] {
            globs_fit(about, key, globs).map_err(|why| ManifestError::Value { key: key.to_owned(), why })?;
        }
        paths_fit(&self.wants.files).map_err(|why| ManifestError::Value { key: "wants.files".to_owned(), why })?;
        self.names_places().map_err(|(key, why)| ManifestError::Value { key, why })?;
        if self.schedule.is_some_and(|every| every.0 < std::time::Duration::from_secs(1)) {
            return value("schedule", "is shorter than \"1s\"".to_owned());
        }
        let runs_by_schedule = |role: &&String| matches!(role.as_str(), "collector" | "detector");
        if let Some(role) = self.roles.iter().find(runs_by_schedule).filter(|_| self.schedule.is_none()) {
            return value("schedule", format!("is missing; a {role} runs by nothing else: write \"1m\", for example"));
        }
        self.detects.check(self).map_err(|(key, why)| ManifestError::Value { key: key.to_owned(), why })?;
        Ok(())
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
}

/// Each is a glob that compiles; not too many, not too long.
pub(crate) fn globs_fit(about: Globs, key: &str, globs: &[String]) -> Result<(), String> {
    if globs.len() > GLOBS_MAX {
        return Err(format!("has {} entries; {GLOBS_MAX} are allowed", globs.len()));
    }
    for glob in globs {
        if glob.len() > NAME_BYTES_MAX {
            return Err(format!("has an entry of {} bytes in `{key}`", glob.len()));
        }
        plain(glob)?;
        about.matcher(glob).map_err(|error| format!("has `{glob}`, which is no glob: {}", error.kind()))?;
    }
    Ok(())
}

/// Each is an absolute path without `.` and `..`.
pub(crate) fn paths_fit(paths: &[String]) -> Result<(), String> {
    if paths.len() > GLOBS_MAX {
        return Err(format!("has {} entries; {GLOBS_MAX} are allowed", paths.len()));
    }
    for path in paths {
        plain(path)?;
        if !crate::capability::is_plain_absolute(path) {
            return Err(format!("has `{path}`; write an absolute path without `.` and `..`, such as `/srv/app`"));
        }
    }
    Ok(())
}

/// What a plugin's author writes is shown on terminals and written into grants: it neither steers the one nor begins a line in the other.
pub(crate) fn plain(text: &str) -> Result<(), String> {
    if text.contains(char::is_control) {
        return Err(format!("has `{}`, with control characters", text.escape_debug()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "id = \"unit-medic\"\nversion = \"0.1.0\"\n";

    #[track_caller]
    fn check(more: &str, wanted: &str) {
        let error = Manifest::parse(&format!("{GOOD}{more}")).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }

    #[test]
    fn a_short_manifest_asks_for_nothing() {
        let manifest = Manifest::parse(GOOD).unwrap();
        assert_eq!((manifest.wants, manifest.proposes), (Wants::default(), Proposes::default()));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        check("wnats = {}\n", "line 3");
        check("[wants]\nnetwork = true\n", "unknown field `network`");
    }

    #[test]
    fn a_detector_says_what_it_judges_and_who_runs_by_the_clock_says_how_often() {
        let detector = "roles = [\"detector\"]\nschedule = \"1m\"\n[wants]\nmetrics = true\n";
        let judges = "[detects]\nmetrics = [\"app.queue\"]\n";
        let manifest = Manifest::parse(&format!("{GOOD}{detector}{judges}")).unwrap();
        assert_eq!(manifest.detects.window, Interval::secs(900));
        check("roles = [\"collector\"]\n", "`schedule` is missing; a collector runs by nothing else");
        check(&detector.replace("schedule = \"1m\"\n", ""), "`schedule` is missing; a detector");
        check(detector, "`detects.metrics` has 0 names");
        check(&format!("{}{judges}", detector.replace("true", "false")), "`wants.metrics` is not `true`");
        check(&format!("{detector}{judges}window = \"2d\"\n"), "`detects.window` is not from");
        check(&format!("{detector}[detects]\nmetrics = [\"a b\"]\n"), "`detects.metrics` has `a b`");
        check(judges, "`detects` is for plugins with the role `detector`");
    }

    #[test]
    fn a_verb_outside_the_vocabulary_is_refused() {
        check("[proposes]\nactions = [\"run_command\"]\n", "the verbs are restart_unit");
    }

    #[test]
    fn paths_are_absolute_and_do_not_climb() {
        check("[wants]\nfiles = [\"srv\"]\n", "absolute path");
        check("[wants]\nfiles = [\"/srv/../etc\"]\n", "absolute path");
    }

    #[test]
    fn nothing_that_people_are_shown_and_grants_are_made_of_steers_a_terminal_or_begins_a_line() {
        check("description = \"\\u001b[2Jtrust me\"\n", "control characters");
        check("[wants]\nfiles = [\"/srv\\nmode = 'auto'\"]\n", "control characters");
        check("[wants]\nunits = [\"a\\r*.service\"]\n", "control characters");
        check("[proposes]\npaths = [\"/srv/\\u0007**\"]\n", "control characters");
    }

    #[test]
    fn a_bare_number_is_no_schedule() {
        check("schedule = 5\n", "schedule");
    }

    #[test]
    fn bytes_that_are_no_component_say_so() {
        let error = manifest_of(b"#!/bin/sh\n").unwrap_err().to_string();
        assert!(error.contains("is not WebAssembly"), "{error}");
    }
}
