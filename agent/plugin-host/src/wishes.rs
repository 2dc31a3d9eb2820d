//! What a plugin wishes to read and to propose, and which places its settings name.
//!
//! Where a runner works, releases lie or certificates are kept differs from host to host. A manifest does not ask for `/` because of
//! that: it names the settings in which the operator writes the places, and asks for what stands there on this host, and for nothing
//! else. Without a word of the operator's that is the manifest's own value. It stays a wish: the grant has to give it as well.

use holdfast_core::model::Globs;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::capability::below;
use crate::manifest::{Manifest, Settings, globs_fit, paths_fit, plain};

/// What a plugin wants to read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wants {
    /// Absolute paths: it asks for everything below.
    pub files: Vec<String>,
    /// Settings that hold an absolute path or a list of them: it asks for everything below what they name on this host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files_from_settings: Vec<String>,
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
    /// Small state of its own.
    pub state: bool,
}

/// What a plugin may propose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Proposes {
    /// Verbs of the core: `restart_unit`.
    pub actions: Vec<String>,
    /// Globs of unit names.
    pub units: Vec<String>,
    /// Globs of absolute paths.
    pub paths: Vec<String>,
    /// Settings that hold an absolute path or a list of them: it may act on what lies below, never on the named place itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths_from_settings: Vec<String>,
}

/// Which key is wrong, and why.
pub(crate) type Wrong = (String, String);

impl Manifest {
    /// This manifest with an operator's values in the place of its own defaults, as far as it has such settings.
    #[must_use]
    pub fn with_settings(&self, given: &Settings) -> Self {
        let mut other = self.clone();
        for (key, value) in given {
            if let Some(own) = other.settings.get_mut(key) {
                own.clone_from(value);
            }
        }
        other
    }

    /// Everything that it asks for with the settings that it has: the places that they name stand among the others. A setting that
    /// names no place adds none, nor does one whose place lies below another that is asked for: of two granted roots the deeper one
    /// is where links end.
    pub fn asked(&self) -> (Wants, Proposes) {
        let (mut wants, mut proposes) = (self.wants.clone(), self.proposes.clone());
        for place in self.named(&wants.files_from_settings) {
            if !wants.files.iter().any(|root| below(root, &place)) {
                wants.files.push(place);
            }
        }
        for place in self.named(&proposes.paths_from_settings) {
            let pattern = format!("{}/**", escaped(place.trim_end_matches('/')));
            if !proposes.paths.contains(&pattern) {
                proposes.paths.push(pattern);
            }
        }
        (wants, proposes)
    }

    /// The settings through which it asks for places, each once.
    pub fn asks_through(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        for key in self.wants.files_from_settings.iter().chain(&self.proposes.paths_from_settings) {
            if !keys.contains(&key.as_str()) {
                keys.push(key);
            }
        }
        keys
    }

    /// Whether it asks for places through settings, and they name none.
    pub fn names_no_place(&self) -> bool {
        let keys: Vec<String> = self.asks_through().into_iter().map(str::to_owned).collect();
        !keys.is_empty() && self.named(&keys).is_empty()
    }

    /// The places that settings name.
    fn named(&self, keys: &[String]) -> Vec<String> {
        keys.iter().filter_map(|key| places(self.settings.get(key)?).ok()).flatten().collect()
    }

    /// Whether every setting that is to name places does.
    pub(crate) fn names_places(&self) -> Result<(), Wrong> {
        for (wish, keys) in [
            ("wants.files-from-settings", &self.wants.files_from_settings),
            ("proposes.paths-from-settings", &self.proposes.paths_from_settings),
        ] {
            for key in keys {
                plain(key).map_err(|why| (wish.to_owned(), why))?;
                let value = self.settings.get(key).ok_or_else(|| {
                    (wish.to_owned(), format!("has `{}`; name a key of [settings]", key.escape_debug()))
                })?;
                places(value).map_err(|why| (format!("settings.{key}"), why))?;
            }
        }
        let (wants, proposes) = self.asked();
        paths_fit(&wants.files).map_err(|why| ("wants.files".to_owned(), why))?;
        globs_fit(Globs::Paths, "proposes.paths", &proposes.paths).map_err(|why| ("proposes.paths".to_owned(), why))
    }
}

/// What a setting's value names: a path, or a list of paths; an empty text names nothing. A `/` at the end means nothing, as in a shell.
fn places(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || Err("is to name places: write an absolute path, or a list of them".to_owned());
    let texts: Vec<&str> = match value {
        Value::String(text) if text.is_empty() => Vec::new(),
        Value::String(text) => vec![text.as_str()],
        Value::Array(all) => match all.iter().map(Value::as_str).collect::<Option<Vec<_>>>() {
            Some(texts) => texts,
            None => return wrong(),
        },
        _ => return wrong(),
    };
    let trimmed = |text: &str| match text.trim_end_matches('/') {
        "" if text.starts_with('/') => "/".to_owned(),
        rest => rest.to_owned(),
    };
    let places: Vec<String> = texts.into_iter().map(trimmed).collect();
    paths_fit(&places)?;
    Ok(places)
}

/// A path as the pattern that means this path and no other.
fn escaped(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '\\' | '*' | '?' | '[' | ']' | '{' | '}') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::{Effective, Grant};

    const MANIFEST: &str = "id = \"x\"\nversion = \"1.0.0\"\n[wants]\nfiles = [\"/etc/x\"]\nfiles-from-settings = [\"roots\", \"config\"]\n\
                            [proposes]\nactions = [\"reclaim_paths\"]\npaths-from-settings = [\"roots\"]\n\
                            [settings]\nroots = [\"/srv/work/\", \"/srv/a*b\"]\nconfig = \"\"\nkeep = 3\n";

    fn asked(settings: &str) -> (Vec<String>, Vec<String>) {
        let given = Grant::parse(settings).unwrap().settings;
        let (wants, proposes) = Manifest::parse(MANIFEST).unwrap().with_settings(&given).asked();
        (wants.files, proposes.paths)
    }

    #[test]
    fn what_settings_name_is_asked_for_and_what_the_operator_writes_takes_its_place() {
        let (files, paths) = asked("");
        assert_eq!(files, ["/etc/x", "/srv/work", "/srv/a*b"]);
        assert_eq!(paths, ["/srv/work/**", "/srv/a\\*b/**"]);
        let (files, paths) = asked("[settings]\nroots = [\"/data\"]\nconfig = \"/etc/y.conf\"\n");
        assert_eq!(
            (files, paths),
            (["/etc/x", "/data", "/etc/y.conf"].map(str::to_owned).to_vec(), vec!["/data/**".to_owned()])
        );
        let (files, _) = asked("[settings]\nroots = [\"/etc/x/y\", \"/etc/xy\", \"/etc/x\"]\n");
        assert_eq!(files, ["/etc/x", "/etc/xy"], "what lies below another is asked for with that");
        let (files, paths) = asked("[settings]\nroots = []\n");
        assert_eq!((files.len(), paths.len()), (1, 0));
    }

    #[test]
    fn a_name_with_signs_in_it_is_that_name_and_the_place_itself_is_not_below_it() {
        let own = Globs::Paths.matcher(&format!("{}/**", escaped(r"/srv/{a}*[b]?\c"))).unwrap();
        assert!(own.is_match(r"/srv/{a}*[b]?\c/file"));
        for other in [r"/srv/{a}*[b]?\c", "/srv/a/file", r"/srv/{a}x[b]?\c/file"] {
            assert!(!own.is_match(other), "{other}");
        }
    }

    #[test]
    fn the_grant_gives_what_settings_name_and_is_refused_more() {
        let effective = |grant: &str| {
            Effective::new(Manifest::parse(MANIFEST).unwrap(), Grant::parse(grant).unwrap(), "")
                .map_err(|e| e.to_string())
        };
        let own = Grant::everything(&Manifest::parse(MANIFEST).unwrap(), holdfast_core::model::Mode::Advise);
        Effective::new(Manifest::parse(MANIFEST).unwrap(), own, "").unwrap();
        effective("[read]\nfiles = [\"/srv/work/one\"]\n[propose]\npaths = [\"/srv/work/one\"]\n").unwrap();
        effective("[read]\nfiles = [\"/data\"]\n[settings]\nroots = [\"/data\"]\n").unwrap();
        // What the manifest named itself is no longer asked for once the operator names something else.
        let why = effective("[read]\nfiles = [\"/srv/work\"]\n[settings]\nroots = [\"/data\"]\n").unwrap_err();
        assert!(
            why.contains("`/srv/work` in `read.files`") && why.contains("name it in the settings roots, config"),
            "{why}"
        );
        let why = effective("[propose]\npaths = [\"/srv/work\"]\n").unwrap_err();
        assert!(why.contains("`/srv/work` in `propose.paths`"), "{why}");
        let why = effective("[settings]\nroots = [\"work\"]\n").unwrap_err();
        assert!(why.contains("the setting `roots` has `work`; write an absolute path"), "{why}");
    }

    #[test]
    fn a_manifest_names_settings_that_there_are_and_that_name_places() {
        let check = |from: &str, to: &str, wanted: &str| {
            let text = MANIFEST.replacen(from, to, 1);
            let error = Manifest::parse(&text).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        };
        check("\"config\"]", "\"cofnig\"]", "`wants.files-from-settings` has `cofnig`; name a key of [settings]");
        check("\"config\"]", "\"keep\"]", "`settings.keep` is to name places");
        check("\"/srv/work/\"", "3", "`settings.roots` is to name places");
        check("\"/srv/work/\"", "\"/srv/../etc\"", "`settings.roots` has `/srv/../etc`; write an absolute path");
        check("\"/srv/work/\"", "\"/srv/\\u0007\"", "control characters");
        check("\"config\"]", "\"a\\u0007\"]", "control characters");
    }
}
