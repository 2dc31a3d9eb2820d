//! The judgement itself.

use std::time::Duration;

use super::{Facts, Judgement, PackageFact, diff, while_deploying};
use crate::detect::confidence;
use crate::model::{Class, Deployment, Detection, Evidence, FileState, Method, Presence, Severity, Target};

const METHOD: &str = "file_drift";
const VERSION: u32 = 1;
/// Writes land a little later than the pipeline says that it is done: caches are flushed, files are noticed.
const DEPLOYMENT_GRACE: Duration = Duration::from_secs(30);

/// What the difference between the accepted and the current state of a file comes to.
pub fn judge(facts: &Facts<'_>) -> Judgement {
    let differences = differences(facts.accepted, facts.current);
    if differences.is_empty() {
        return Judgement::Unchanged(detection(facts, &[], Presence::Cleared));
    }
    if let Some(cause) = facts.cause {
        return Judgement::Explained {
            by: format!("the agent's own remediation {cause} wrote {}", facts.current.path),
            reference: cause.to_string(),
        };
    }
    if let Some(deployment) = facts.deployments.iter().filter(|it| explains(it, facts)).max_by_key(|it| it.started_at) {
        return Judgement::Explained {
            by: format!(
                "deployment {} of {} {} declared that it alters {}",
                deployment.id, deployment.service, deployment.version, facts.current.path
            ),
            reference: deployment.id.to_string(),
        };
    }
    if let Some(package) = facts.package.filter(|it| shipped(it, facts)) {
        return Judgement::Explained {
            by: format!("{} is as package {} {} ships it", facts.current.path, package.package, package.version),
            reference: package.package.clone(),
        };
    }
    Judgement::Unexplained(detection(facts, &differences, Presence::Present))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Difference {
    Appeared,
    Vanished,
    Content,
    Mode,
    Owner,
}

fn differences(accepted: &FileState, current: &FileState) -> Vec<Difference> {
    match (&accepted.sha256, &current.sha256) {
        (None, None) => Vec::new(),
        (None, Some(_)) => vec![Difference::Appeared],
        (Some(_), None) => vec![Difference::Vanished],
        (Some(before), Some(now)) => [
            (before != now).then_some(Difference::Content),
            (accepted.mode != current.mode).then_some(Difference::Mode),
            ((accepted.uid, accepted.gid) != (current.uid, current.gid)).then_some(Difference::Owner),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

/// Whether the change was made while the deployment ran (or just after), on a path that it declared.
fn explains(deployment: &Deployment, facts: &Facts<'_>) -> bool {
    let Some(ran) = while_deploying::reach(deployment, DEPLOYMENT_GRACE) else { return false };
    // `modified_at` is what the writer says (rsync and tar keep old times), so only a *later* one contradicts.
    let written_later = facts.current.modified_at.is_some_and(|written| ran.is_over_by(written));
    deployment.declares_path(&facts.current.path) && ran.holds(facts.at) && !written_later
}

/// Whether the package brought exactly this: same content, and nobody turned its owner or mode meanwhile.
fn shipped(package: &PackageFact, facts: &Facts<'_>) -> bool {
    let (accepted, current) = (facts.accepted, facts.current);
    let content_changed = accepted.sha256 != current.sha256;
    // A package manager may set owner and mode with the content that it writes. Without new content there is no trace of it.
    package.digest_matches && content_changed && current.sha256.is_some()
}

fn detection(facts: &Facts<'_>, differences: &[Difference], presence: Presence) -> Detection {
    let (accepted, current) = (facts.accepted, facts.current);
    let path = &current.path;
    let mut evidence = Vec::new();
    let mut fact = |name: &str, value: crate::model::Value| evidence.push(Evidence::new(name, value));
    let text = |sha256: &Option<String>| sha256.clone().unwrap_or_else(|| "absent".to_owned());
    fact("file.sha256", text(&current.sha256).into());
    fact("file.accepted_sha256", text(&accepted.sha256).into());
    if !differences.is_empty() {
        fact("file.bytes", current.bytes.into());
        fact("file.accepted_bytes", accepted.bytes.into());
        if let Some(modified_at) = current.modified_at {
            fact("file.modified_at", modified_at.to_string().into());
        }
        let content = [Difference::Content, Difference::Appeared, Difference::Vanished];
        if differences.iter().any(|it| content.contains(it)) {
            let before = if accepted.sha256.is_some() { facts.accepted_content } else { Some(&b""[..]) };
            let now = if current.sha256.is_some() { facts.current_content } else { Some(&b""[..]) };
            fact("file.diff", diff::unified(path, before, now).into());
        }
        if differences.contains(&Difference::Mode) {
            fact("file.mode", format!("{:04o}", current.mode).into());
            fact("file.accepted_mode", format!("{:04o}", accepted.mode).into());
        }
        if differences.contains(&Difference::Owner) {
            fact("file.owner", format!("{}:{}", current.uid, current.gid).into());
            fact("file.accepted_owner", format!("{}:{}", accepted.uid, accepted.gid).into());
        }
        if let Some(package) = facts.package {
            fact("package.name", package.package.as_str().into());
            fact("package.version", package.version.as_str().into());
            fact("package.digest_matches", package.digest_matches.into());
        }
    }
    let class = if differences.iter().any(|it| matches!(it, Difference::Mode | Difference::Owner)) {
        Class::Security
    } else {
        Class::Compliance
    };
    Detection {
        kind: "file.drift".to_owned(),
        class,
        target: Target::file(path),
        discriminator: String::new(),
        presence,
        title: title(path, differences, accepted, current),
        severity: severity(differences, accepted, current),
        confidence: confidence::of_drift(facts.current_content.is_some() || current.sha256.is_none()),
        method: Method { name: METHOD.to_owned(), version: VERSION },
        evidence,
        began_at: current.altered_at(accepted, facts.at),
        cause: facts.cause.cloned(),
    }
}

fn title(path: &str, differences: &[Difference], accepted: &FileState, current: &FileState) -> String {
    let parts: Vec<String> = differences
        .iter()
        .map(|it| match it {
            Difference::Appeared => "appeared".to_owned(),
            Difference::Vanished => "is gone".to_owned(),
            Difference::Content => "was edited".to_owned(),
            Difference::Mode => format!("changed its mode from {:04o} to {:04o}", accepted.mode, current.mode),
            Difference::Owner => {
                format!("changed its owner from {}:{} to {}:{}", accepted.uid, accepted.gid, current.uid, current.gid)
            }
        })
        .collect();
    if parts.is_empty() {
        format!("{path} is as accepted")
    } else {
        format!("{path} {}, and no known change explains it", parts.join(" and "))
    }
}

/// More rights for others than were accepted, above all set-user-id, is worse than an edit.
fn severity(differences: &[Difference], accepted: &FileState, current: &FileState) -> Severity {
    const SET_ID: u32 = 0o6000;
    const OTHERS_WRITE: u32 = 0o022;
    let gained = current.mode & !accepted.mode;
    let root_lost = differences.contains(&Difference::Owner) && accepted.uid == 0;
    if differences.contains(&Difference::Mode) && gained & SET_ID != 0 {
        Severity::Critical
    } else if (differences.contains(&Difference::Mode) && gained & OTHERS_WRITE != 0) || root_lost {
        Severity::High
    } else {
        Severity::Medium
    }
}
