//! Which targets there are: those of the configuration, and those of the files in a directory.
//!
//! `*.toml` hold `[[scrape]]` as the configuration does; `*.json` are lists of `{"targets": ["host:port"], "labels": {…}}` as
//! Prometheus' file discovery reads them. A file with a mistake, or one that everybody may write, gives no target and is
//! said; the others go on.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::super::config::ScrapeTarget;
use crate::host::read_trusted_text;

/// A longer file is a mistake.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// More files are not read.
const FILES_MAX: usize = 128;
/// More targets are not scraped.
pub(super) const TARGETS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TomlFile {
    #[serde(default)]
    scrape: Vec<ScrapeTarget>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonGroup {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// The targets by their address, and what is wrong with the files. Reads files: not for async tasks.
pub(super) fn targets(
    configured: &[ScrapeTarget],
    dir: Option<&Path>,
) -> (BTreeMap<String, ScrapeTarget>, Vec<String>) {
    let mut all: BTreeMap<String, ScrapeTarget> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut found = configured.to_vec();
    for (name, text) in dir.map(|dir| files(dir, &mut problems)).unwrap_or_default() {
        match read(&name, &text) {
            Ok(targets) => found.extend(targets),
            Err(why) => problems.push(format!("{name}: {why}")),
        }
    }
    for target in found {
        if all.len() == TARGETS_MAX && !all.contains_key(&target.url) {
            problems.push(format!("more than {TARGETS_MAX} targets; {} is not scraped", target.url));
            continue;
        }
        // What is configured, or comes first by name, stays.
        all.entry(target.url.clone()).or_insert(target);
    }
    (all, problems)
}

fn files(dir: &Path, problems: &mut Vec<String>) -> Vec<(String, String)> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(format!("{}: {error}", dir.display()));
            return Vec::new();
        }
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "toml" || it == "json"));
    paths.sort();
    if paths.len() > FILES_MAX {
        problems.push(format!("{}: more than {FILES_MAX} files; the rest is not read", dir.display()));
        paths.truncate(FILES_MAX);
    }
    let mut texts = Vec::new();
    for path in paths {
        match read_trusted_text(&path, FILE_BYTES_MAX) {
            Ok(text) => texts.push((path.display().to_string(), text)),
            Err(error) if error.kind() == std::io::ErrorKind::FileTooLarge => {
                problems.push(format!("{}: longer than {FILE_BYTES_MAX} bytes", path.display()));
            }
            Err(error) => problems.push(format!("{}: {error}", path.display())),
        }
    }
    texts
}

/// One file's targets. Pure.
fn read(name: &str, text: &str) -> Result<Vec<ScrapeTarget>, String> {
    let targets = if name.to_ascii_lowercase().ends_with("json") {
        let groups: Vec<JsonGroup> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let of = |group: JsonGroup| {
            let path = group.labels.get("__metrics_path__").cloned().unwrap_or_else(|| "/metrics".to_owned());
            let mut labels = group.labels;
            labels.retain(|label, _| !label.starts_with("__"));
            group.targets.into_iter().map(move |at| ScrapeTarget {
                labels: labels.clone(),
                ..ScrapeTarget::new(format!("http://{at}{path}"))
            })
        };
        groups.into_iter().flat_map(of).collect()
    } else {
        toml::from_str::<TomlFile>(text).map_err(|error| error.message().to_owned())?.scrape
    };
    for target in &targets {
        crate::telemetry::http::base(&target.url).map_err(|why| format!("`{}`: {why}", target.url))?;
        if target.every.0.as_secs() < 1 || target.timeout.0.is_zero() {
            return Err(format!("`{}`: `every` is at least \"1s\", and `timeout` more than nothing", target.url));
        }
    }
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_files_are_read_and_a_broken_one_stops_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        put("a.toml", "[[scrape]]\nurl = \"http://127.0.0.1:1/metrics\"\nevery = \"5s\"\nlabels = { job = \"a\" }\n");
        put("b.json", r#"[{"targets":["127.0.0.1:2"],"labels":{"job":"b","__metrics_path__":"/m"}}]"#);
        put("c.toml", "[[scrape]]\nurll = 1\n");
        put("d.toml", "[[scrape]]\nurl = \"https://127.0.0.1/\"\n");
        put("ignored.txt", "x");
        let (targets, problems) = targets(&[ScrapeTarget::new("http://127.0.0.1:9/metrics".into())], Some(dir.path()));
        let urls: Vec<&str> = targets.keys().map(String::as_str).collect();
        assert_eq!(urls, ["http://127.0.0.1:1/metrics", "http://127.0.0.1:2/m", "http://127.0.0.1:9/metrics"]);
        assert_eq!(targets["http://127.0.0.1:2/m"].labels, [("job".to_owned(), "b".to_owned())].into());
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("c.toml") && problems[1].contains("d.toml"), "{problems:?}");
    }

    #[test]
    fn a_file_that_everybody_may_write_gives_no_target_and_is_said() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, url: &str, mode: u32| {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("[[scrape]]\nurl = \"{url}\"\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        put("a.toml", "http://127.0.0.1:1/metrics", 0o666);
        put("b.toml", "http://127.0.0.1:2/metrics", 0o664);
        std::fs::write(dir.path().join("c.toml"), vec![b'#'; FILE_BYTES_MAX as usize + 1]).unwrap();
        let (targets, problems) = targets(&[], Some(dir.path()));
        assert_eq!(targets.keys().collect::<Vec<_>>(), ["http://127.0.0.1:2/metrics"]);
        assert!(
            problems.len() == 2 && problems[0].contains("a.toml") && problems[0].contains("chmod o-w"),
            "{problems:?}"
        );
        assert!(problems[1].contains("c.toml: longer than"), "{problems:?}");
    }

    #[test]
    fn a_missing_directory_has_no_targets() {
        assert_eq!(targets(&[], Some(Path::new("/nowhere/at/all"))), (BTreeMap::new(), vec![]));
    }
}
