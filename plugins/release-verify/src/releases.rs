//! Which releases are looked at: what deployments announced, newest first for each service, and what the operator lists.

use std::collections::BTreeMap;

use holdfast_plugin_sdk::host::changes::{Change, detail};
use holdfast_plugin_sdk::{HostPath, Sha256};

/// Changes that put a release somewhere.
const RELEASED: [&str; 2] = ["service.deployed", "service.upgraded"];
/// Changes that are asked for.
pub const KINDS: [&str; 4] = ["service.deployed", "service.upgraded", "deployment.started", "deployment.failed"];
/// A deployment that was not finished after this is forgotten rather than under way.
const UNDER_WAY_NS_MAX: u64 = 2 * 3_600_000_000_000;

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
    /// A deployment of the same service that has begun and not ended: it may be at work in this very directory.
    pub under_way: Option<String>,
}

/// Chooses; the newest word on a directory counts, whatever service it is of.
pub fn choose(changes: &[Change], now_ns: u64, per_service: usize, extra: &[HostPath]) -> Vec<Release> {
    let mut newest_first: Vec<&Change> = changes.iter().collect();
    newest_first.sort_by_key(|change| std::cmp::Reverse(change.at));
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut out: Vec<Release> = Vec::new();
    for change in newest_first.iter().filter(|change| RELEASED.contains(&change.kind.as_str())) {
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
            under_way: under_way(&newest_first, &change.subject.name, now_ns),
        });
    }
    for dir in extra {
        if !out.iter().any(|release| release.dir == *dir) {
            out.push(Release {
                dir: dir.clone(),
                deployment: None,
                manifest_sha256: None,
                must_exist: true,
                under_way: None,
            });
        }
    }
    out
}

/// The newest deployment of the service, when it has begun and not ended.
fn under_way(newest_first: &[&Change], service: &str, now_ns: u64) -> Option<String> {
    let newest = newest_first.iter().find(|change| change.subject.name == service)?;
    let recent = now_ns.saturating_sub(newest.at) < UNDER_WAY_NS_MAX;
    (newest.kind == "deployment.started" && recent)
        .then(|| detail(newest, "deployment").unwrap_or("unknown").to_owned())
}

#[cfg(test)]
mod tests {
    use holdfast_plugin_sdk::bindings::host::types::Arg;
    use holdfast_plugin_sdk::subject;

    use super::*;

    fn change(at: u64, kind: &str, service: &str, dir: &str) -> Change {
        let arg = |name: &str, value: String| Arg { name: name.to_owned(), value: value.into() };
        Change {
            id: "x".to_owned(),
            kind: kind.to_owned(),
            at,
            subject: subject("service", service),
            actor: None,
            summary: String::new(),
            details: vec![
                arg("release_dir", dir.to_owned()),
                arg("deployment", format!("d{at}")),
                arg("manifest_sha256", "a".repeat(64)),
            ],
        }
    }

    fn dirs(releases: &[Release]) -> Vec<(&str, bool)> {
        releases.iter().map(|release| (release.dir.as_str(), release.must_exist)).collect()
    }

    #[test]
    fn the_newest_releases_of_each_service_are_chosen_and_each_directory_once() {
        let changes = [
            change(1, "service.deployed", "shop", "/srv/shop/1"),
            change(2, "service.upgraded", "shop", "/srv/shop/2/"),
            change(3, "service.upgraded", "shop", "/srv/shop/2"),
            change(4, "service.upgraded", "shop", "/srv/shop/3"),
            change(5, "service.deployed", "blog", "/srv/blog"),
            change(6, "service.deployed", "odd", "relative/dir"),
        ];
        let chosen = choose(&changes, 10, 2, &["/opt/tool", "/srv/blog"].map(|dir| HostPath::new(dir).unwrap()));
        let wanted = [("/srv/blog", true), ("/srv/shop/3", true), ("/srv/shop/2", false), ("/opt/tool", true)];
        assert_eq!(dirs(&chosen), wanted);
        assert_eq!(chosen[2].deployment.as_deref(), Some("d3"), "the newest word on a directory counts");
    }

    #[test]
    fn a_deployment_that_has_begun_and_not_ended_is_under_way_for_a_while() {
        let mut changes =
            vec![change(1, "service.deployed", "shop", "/srv/shop"), change(2, "deployment.started", "shop", "")];
        let under_way = |changes: &[Change], now| choose(changes, now, 1, &[])[0].under_way.clone();
        assert_eq!(under_way(&changes, 3).as_deref(), Some("d2"));
        assert_eq!(under_way(&changes, 3 + UNDER_WAY_NS_MAX), None, "forgotten");
        changes.push(change(3, "deployment.failed", "shop", ""));
        assert_eq!(under_way(&changes, 4), None);
    }
}
