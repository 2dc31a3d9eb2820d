//! Where a plugin's files lie on this host.

use std::io;
use std::path::{Path, PathBuf};

use super::InstallError;
use crate::config::PluginsConfig;
use crate::host::read_trusted_text;
use crate::plugins::Installed;

/// A grant is a page.
const GRANT_BYTES_MAX: u64 = 64 * 1024;

/// `plugins.d/NAME.toml`.
pub fn grant_file(config: &PluginsConfig, id: &str) -> PathBuf {
    config.grants.join(format!("{id}.toml"))
}

/// A grant's text; `None`: there is none.
pub fn grant_text(file: &Path) -> Result<Option<String>, InstallError> {
    match read_trusted_text(file, GRANT_BYTES_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(InstallError::Read { path: file.to_owned(), source }),
    }
}

/// Where the component goes: over the one that it replaces, or to the last directory that no package owns. `wanted`: the operator's
/// choice among the configured ones.
pub(super) fn component_file(
    config: &PluginsConfig,
    wanted: Option<&Path>,
    id: &str,
    installed: &[Installed],
) -> Result<PathBuf, InstallError> {
    let is_packaged = |dir: &Path| config.trusted_dirs.iter().any(|trusted| trusted == dir);
    let dir = match wanted {
        Some(dir) => config.dirs.iter().find(|known| *known == dir).ok_or_else(|| InstallError::Unusable {
            what: dir.display().to_string(),
            why: "the agent does not look there".to_owned(),
            hint: Some(format!("`dirs` of [plugins] are {}", list(&config.dirs))),
        })?,
        None => config.dirs.iter().rev().find(|dir| !is_packaged(dir)).ok_or_else(|| InstallError::Denied {
            why: format!("all plugin directories ({}) belong to a package or a build", list(&config.dirs)),
            hint: "add a directory of your own to `dirs` of [plugins], or name one of these with --dir".to_owned(),
        })?,
    };
    let mut same = installed.iter().filter(|it| it.id == id);
    let Some(first) = same.next() else {
        let file = dir.join(format!("{id}.wasm"));
        return match installed.iter().find(|it| it.file == file) {
            None => Ok(file),
            Some(other) => Err(InstallError::Denied {
                why: format!("{} is the plugin {}, not {id}", file.display(), other.id),
                hint: "rename that file first".to_owned(),
            }),
        };
    };
    let there = first.file.parent().unwrap_or(Path::new("/"));
    if there == dir {
        return Ok(first.file.clone());
    }
    let hint = if is_packaged(there) {
        format!("it is upgraded with its package; `holdfast plugin disable {id}` switches it off")
    } else {
        format!("`--dir {}` replaces it there", there.display())
    };
    Err(InstallError::Denied { why: format!("{id} lies in {} already", there.display()), hint })
}

fn list(dirs: &[PathBuf]) -> String {
    dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dirs: &[&str]) -> PluginsConfig {
        PluginsConfig { dirs: dirs.iter().map(PathBuf::from).collect(), ..PluginsConfig::default() }
    }

    fn lies(id: &str, file: &str) -> Installed {
        Installed { id: id.to_owned(), file: file.into(), digest: String::new(), manifest: None }
    }

    const USUAL: [&str; 2] = ["/usr/lib/holdfast/plugins", "/var/lib/holdfast/plugins"];

    #[track_caller]
    fn check(dirs: &[&str], wanted: Option<&str>, installed: &[Installed], expected: Result<&str, &str>) {
        match (component_file(&config(dirs), wanted.map(Path::new), "x", installed), expected) {
            (Ok(file), Ok(expected)) => assert_eq!(file, Path::new(expected)),
            (Err(error), Err(expected)) => {
                let text = format!("{error} {}", error.hint().unwrap_or_default());
                assert!(text.contains(expected), "{text}");
            }
            (other, expected) => panic!("{other:?}, not {expected:?}"),
        }
    }

    #[test]
    fn it_goes_to_the_last_directory_that_no_package_owns() {
        check(&USUAL, None, &[], Ok("/var/lib/holdfast/plugins/x.wasm"));
        check(&["/a", "/b", "/usr/lib/holdfast/plugins"], None, &[], Ok("/b/x.wasm"));
        check(&["/a", "/b"], Some("/a"), &[], Ok("/a/x.wasm"));
        check(&USUAL, Some("/elsewhere"), &[], Err("`dirs` of [plugins] are /usr/lib"));
        check(&USUAL[..1], None, &[], Err("with --dir"));
        check(&USUAL[..1], Some(USUAL[0]), &[], Ok("/usr/lib/holdfast/plugins/x.wasm"));
    }

    #[test]
    fn it_replaces_its_former_version_whatever_its_file_is_called() {
        check(
            &USUAL,
            None,
            &[lies("x", "/var/lib/holdfast/plugins/old.wasm")],
            Ok("/var/lib/holdfast/plugins/old.wasm"),
        );
        check(&USUAL, None, &[lies("y", "/var/lib/holdfast/plugins/x.wasm")], Err("is the plugin y"));
    }

    #[test]
    fn there_is_never_a_second_one_in_another_directory() {
        check(&USUAL, None, &[lies("x", "/usr/lib/holdfast/plugins/x.wasm")], Err("plugin disable x"));
        check(&["/a", "/b"], None, &[lies("x", "/a/x.wasm")], Err("`--dir /a` replaces it"));
    }
}
