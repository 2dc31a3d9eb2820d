//! Which releases are looked at: what deployments announced, newest first for each service, and what the operator lists.

use std::collections::BTreeMap;

use holdfast_plugin_sdk::host::changes::{Change, detail};
use holdfast_plugin_sdk::{HostPath, Sha256};

/// One release on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Where it lies.
    pub dir: HostPath,
    /// The deployment that put it there.
    pub deployment: Option<String>,
    /// What the manifest's own digest was then.
    pub manifest_sha256: Option<Sha256>,
    /// Whether it must be there: the newest of its service, or listed by the operator. Older ones may have been cleaned away.
    pub must_exist: bool,
}

/// Chooses; the last word on a directory counts, whatever service it is of.
pub fn choose(changes: &[Change], per_service: usize, extra: &[String]) -> Vec<Release> {
    let mut newest_first: Vec<&Change> = changes.iter().collect();
    newest_first.sort_by_key(|change| std::cmp::Reverse(change.at));
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut out: Vec<Release> = Vec::new();
    for change in newest_first {
        let Some(dir) = detail(change, "release_dir") else { continue };
        let Ok(dir) = HostPath::new(dir.trim_end_matches('/')) else { continue };
        if out.iter().any(|release| release.dir == dir) {
            continue;
        }
        let count = seen.entry(change.subject.name.as_str()).or_default();
        *count += 1;
        if *count > per_service.max(1) {
            continue;
        }
        out.push(Release {
            dir,
            deployment: detail(change, "deployment").map(str::to_owned),
            manifest_sha256: detail(change, "manifest_sha256").and_then(|text| Sha256::parse(text).ok()),
            must_exist: *count == 1,
        });
    }
    for dir in extra.iter().filter_map(|dir| HostPath::new(dir.trim_end_matches('/')).ok()) {
        if !out.iter().any(|release| release.dir == dir) {
            out.push(Release { dir, deployment: None, manifest_sha256: None, must_exist: true });
        }
    }
    out
}
