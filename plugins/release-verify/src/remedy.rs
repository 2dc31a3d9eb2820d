//! Plans: put back what the manifest says, take away what it does not know.

use holdfast_plugin_sdk::step::{self, Owner};
use holdfast_plugin_sdk::{Error, Finding, HostPath, Plan, Sha256, evidence, facts};

use crate::problems::{FOREIGN, MANIFEST, TAMPERED};

/// What lies at the finding's path now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Now {
    /// Nothing.
    Absent,
    /// A regular file.
    File {
        /// Its content.
        sha256: Sha256,
        /// Its size.
        bytes: u64,
        /// How many names it has.
        nlink: u64,
        /// Whose it is.
        owner: Owner,
    },
    /// Anything else, in words.
    Other(String),
}

/// A plan, or why there is none.
#[derive(Debug)]
pub enum Answer {
    /// To propose.
    Plan(Box<Plan>),
    /// Nothing is wrong any more.
    Fine(String),
}

/// Decides. `beside` is the owner that a file gets which lacks one: that of the manifest, with mode 0644.
pub fn propose(finding: &Finding, now: &Now, beside: Option<Owner>) -> Result<Answer, Error> {
    let path = HostPath::new(finding.subject.name.as_str())?;
    let release = facts::text(finding, "release.dir").unwrap_or("its release");
    if let Now::Other(what) = now {
        return Err(Error::Unsupported(format!("{path} is {what}; only regular files are restored or moved away")));
    }
    if let Now::File { nlink, .. } = now
        && *nlink > 1
    {
        return Err(Error::Unsupported(format!(
            "{path} has {nlink} names (hard links); which one counts is for a person to say"
        )));
    }
    match finding.rule.as_str() {
        TAMPERED | MANIFEST | "file.drift" => restore(finding, &path, release, now, beside),
        FOREIGN => Ok(quarantine(finding, &path, release, now)),
        other => Err(Error::Unsupported(format!("findings of the kind {other} have no remedy here"))),
    }
}

fn expected(finding: &Finding) -> Result<Sha256, Error> {
    let text = facts::text(finding, "file.expected_sha256").or_else(|| facts::text(finding, "file.accepted_sha256"));
    let text =
        text.ok_or_else(|| Error::Unsupported("the finding does not say what content was expected".to_owned()))?;
    Sha256::parse(text)
}

fn restore(
    finding: &Finding,
    path: &HostPath,
    release: &str,
    now: &Now,
    beside: Option<Owner>,
) -> Result<Answer, Error> {
    let wanted = expected(finding)?;
    let (found, owner) = match now {
        Now::File { sha256, .. } if *sha256 == wanted => {
            return Ok(Answer::Fine(format!("{path} holds the expected content again")));
        }
        Now::File { sha256, owner, .. } => (Some(sha256), Some(*owner)),
        Now::Absent | Now::Other(_) => (None, beside),
    };
    let owner = owner.ok_or_else(|| {
        Error::Unsupported(format!("{path} is gone and so is the manifest: whose the file should be is not known"))
    })?;
    // A manifest states no sizes; the agent replaces this by its own record, where it has one.
    let bytes = facts::count(finding, "file.expected_bytes").unwrap_or(0);
    let was = found.map_or("nothing lies there".to_owned(), |sha256| format!("it holds sha256:{}", sha256.short()));
    let step = step::restore_file(path, found, &wanted, bytes, owner)
        .because(&format!("{path} should hold sha256:{} and {was}", wanted.short()))
        .may_also("What lies there now is kept by the agent and can be put back.")
        .may_also("A process that has the old file open goes on with it until it is restarted.");
    // The manifest is certain about the content; a deployment at work may be about to change it.
    let confidence = f64::min(0.95, finding.confidence);
    let mut plan = Plan::new(finding, &format!("restore {path} to what {release} was deployed with"), step)
        .confidence(confidence)
        .evidence(evidence("release.dir", release))
        .evidence(evidence("file.expected_sha256", wanted.as_str()));
    if let Some(sha256) = found {
        plan = plan.evidence(evidence("file.sha256", sha256.as_str()));
    }
    Ok(Answer::Plan(Box::new(plan)))
}

fn quarantine(finding: &Finding, path: &HostPath, release: &str, now: &Now) -> Answer {
    let Now::File { sha256, bytes, owner, .. } = now else {
        return Answer::Fine(format!("{path} is gone"));
    };
    let step = step::quarantine(path, sha256)
        .because(&format!(
            "{path} is not in the manifest of {release} (sha256:{}, {bytes} bytes, mode {:o})",
            sha256.short(),
            owner.mode & 0o7777
        ))
        .may_also("A service that reads this file no longer finds it.")
        .may_also("The file is kept where only root can reach it, and can be put back.");
    let plan = Plan::new(finding, &format!("move {path} away from {release}"), step)
        .confidence(f64::min(0.8, finding.confidence))
        .evidence(evidence("release.dir", release))
        .evidence(evidence("file.sha256", sha256.as_str()))
        .evidence(evidence("file.bytes", *bytes));
    Answer::Plan(Box::new(plan))
}

/// Whether the finding is gone, by what lies there now.
pub fn is_cured(finding: &Finding, now: &Now) -> Result<bool, Error> {
    Ok(match (finding.rule.as_str(), now) {
        (FOREIGN, now) => *now == Now::Absent,
        (_, Now::File { sha256, .. }) => *sha256 == expected(finding)?,
        _ => false,
    })
}
