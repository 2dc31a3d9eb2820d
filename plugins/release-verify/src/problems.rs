//! Deviations in the words of findings, and what is carried over when a release cannot be read this time.

use holdfast_plugin_sdk::{Finding, Problem, Severity, Sha256, evidence, facts, subject, text};
use sha2::{Digest, Sha256 as Hasher};

use crate::compare::Deviation;
use crate::releases::Release;

/// A file of the manifest is gone or holds something else.
pub const TAMPERED: &str = "release.tampered";
/// A file that the manifest does not know.
pub const FOREIGN: &str = "release.foreign_file";
/// The manifest itself is not the one that was deployed.
pub const MANIFEST: &str = "release.manifest_altered";
/// All of them.
pub const RULES: [&str; 3] = [TAMPERED, FOREIGN, MANIFEST];

/// SHA-256 of bytes in memory.
pub fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(&Hasher::digest(bytes).into())
}

fn problem(release: &Release, rule: &str, path: &str, title: &str) -> Problem {
    let full = if path.is_empty() { release.dir.to_string() } else { format!("{}/{path}", release.dir) };
    // A path may hold anything and be long; its digest is a word of 16 letters that is the same at every run.
    let id = digest(full.as_bytes());
    let mut problem = Problem::new(rule, &id.as_str()[..16], subject("file", full), title)
        .severity(Severity::High)
        .evidence(evidence("release.dir", release.dir.as_str()));
    if let Some(deployment) = &release.deployment {
        problem = problem.evidence(evidence("deployment", deployment.as_str()));
    }
    match &release.under_way {
        None => problem,
        Some(other) => problem.confidence(0.5).evidence(evidence("deployment.under_way", other.as_str())),
    }
}

/// One finding a deviation, and one for all that are too many.
pub fn of_deviations(release: &Release, deviations: &[Deviation], max: usize) -> Vec<Problem> {
    let mut out: Vec<Problem> = deviations.iter().take(max).map(|deviation| of_deviation(release, deviation)).collect();
    if deviations.len() > max {
        let title = format!("{} more files of {} differ from its manifest", deviations.len() - max, release.dir);
        out.push(problem(release, TAMPERED, "", &title).evidence(evidence("files", (deviations.len() - max) as u64)));
    }
    out
}

fn of_deviation(release: &Release, deviation: &Deviation) -> Problem {
    let full = format!("{}/{}", release.dir, deviation.path());
    match deviation {
        Deviation::Modified { path, expected, found, bytes } => {
            let title = format!("{full} is not what its release's manifest says");
            problem(release, TAMPERED, path, &title)
                .expected(&format!("sha256:{expected}"), &format!("sha256:{found}"))
                .evidence(evidence("file.expected_sha256", expected.as_str()))
                .evidence(evidence("file.sha256", found.as_str()))
                .evidence(evidence("file.bytes", *bytes))
        }
        Deviation::Missing { path, expected } => problem(release, TAMPERED, path, &format!("{full} is missing"))
            .expected(&format!("sha256:{expected}"), "nothing")
            .evidence(evidence("file.expected_sha256", expected.as_str())),
        Deviation::Replaced { path, expected, by } => {
            problem(release, TAMPERED, path, &format!("{full} was replaced by {by}"))
                .expected(&format!("sha256:{expected}"), by)
                .evidence(evidence("file.expected_sha256", expected.as_str()))
        }
        Deviation::Foreign { path, file, what } => {
            let found =
                problem(release, FOREIGN, path, &format!("{full} is {what} that the release's manifest does not know"))
                    .expected("nothing", what);
            match file {
                Some((sha256, bytes)) => {
                    found.evidence(evidence("file.sha256", sha256.as_str())).evidence(evidence("file.bytes", *bytes))
                }
                None => found,
            }
        }
    }
}

/// The manifest is not the one that was deployed; `found` is `None` when it is gone.
pub fn of_manifest(release: &Release, name: &str, recorded: &Sha256, found: Option<(&Sha256, u64)>) -> Problem {
    let title = match found {
        Some(_) => format!("{}/{name} is not the manifest that was deployed", release.dir),
        None => format!("{}/{name}, the manifest of the release, is gone", release.dir),
    };
    let observed = found.map_or("nothing".to_owned(), |(sha256, _)| format!("sha256:{sha256}"));
    let problem = problem(release, MANIFEST, name, &title)
        .expected(&format!("sha256:{recorded}"), &observed)
        .evidence(evidence("file.expected_sha256", recorded.as_str()));
    match found {
        Some((sha256, bytes)) => {
            problem.evidence(evidence("file.sha256", sha256.as_str())).evidence(evidence("file.bytes", bytes))
        }
        None => problem,
    }
}

/// Of what was found the last time, that which could not be looked at now: it stays open, because nobody saw that it is gone.
pub fn carried(
    last: Vec<Finding>,
    release: &str,
    skipped: bool,
    manifest_bad: bool,
    unread: &[String],
) -> Vec<Finding> {
    let below =
        |root: &str, path: &str| path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'));
    last.into_iter()
        .filter(|finding| facts::text(finding, "release.dir") == Some(release))
        .filter(|finding| {
            skipped
                || manifest_bad && finding.rule != MANIFEST
                || unread.iter().any(|path| below(path, &finding.subject.name))
        })
        .collect()
}

/// A line that names the release.
pub fn about(release: &Release, why: &str) -> String {
    text::line(&format!("{}: {why}", release.dir))
}
