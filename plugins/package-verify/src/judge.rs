//! What lies at a path against what dpkg says, in the words of findings. Pure.

use std::collections::BTreeMap;

use holdfast_plugin_sdk::{Finding, Problem, Severity, evidence, facts, glob, subject, text};
use md5::{Digest, Md5};

use crate::dpkg::{Listed, Package};

/// A packaged file holds something else, or is no file any more.
pub const MODIFIED: &str = "integrity.package_file_modified";
/// A packaged file is gone.
pub const MISSING: &str = "integrity.package_file_missing";
/// Both.
pub const RULES: [&str; 2] = [MODIFIED, MISSING];

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lies {
    /// A regular file, and the MD5 of its content.
    File(String),
    /// Anything else, in words.
    Other(String),
    /// Nothing.
    Absent,
}

/// The finding, if what lies there is not what dpkg says. `sha256` is that of the content, for people who look it up.
pub fn judge(
    package: &Package,
    file: &Listed,
    lies: &Lies,
    may_be_missing: &[String],
    sha256: Option<&str>,
) -> Option<Finding> {
    let path = &file.path;
    let (rule, title, observed, severity) = match lies {
        Lies::File(md5) if *md5 == file.md5 => return None,
        Lies::File(md5) => {
            let title = format!("{path} is not what package {} installed", package.name);
            (MODIFIED, title, format!("md5:{md5}"), Severity::High)
        }
        Lies::Other(what) => {
            let title = format!("{path} of package {} was replaced by {what}", package.name);
            (MODIFIED, title, what.clone(), Severity::High)
        }
        Lies::Absent if may_be_missing.iter().any(|pattern| glob::matches(pattern, path)) => return None,
        Lies::Absent => {
            (MISSING, format!("{path} of package {} is missing", package.name), "nothing".to_owned(), Severity::Medium)
        }
    };
    let name = package.name.split(':').next().unwrap_or_default();
    // A path may hold anything and be long; its digest is a word that is the same at every run.
    let id = text::hex(&Md5::digest(path.as_bytes())[..8]);
    let mut problem = Problem::new(rule, &id, subject("file", path.as_str()), &title)
        .severity(severity)
        .expected(&format!("md5:{}", file.md5), &observed)
        .evidence(evidence("package.name", package.name.as_str()))
        .evidence(evidence("package.version", package.version.as_str()))
        .evidence(evidence("remedy", format!("apt-get install --reinstall {name}={}", package.version)));
    if let Some(sha256) = sha256 {
        problem = problem.evidence(evidence("file.sha256", sha256));
    }
    Some(problem.finding().clone())
}

/// The package that a finding is of.
pub fn package_of(finding: &Finding) -> &str {
    facts::text(finding, "package.name").unwrap_or_default()
}

/// More files of one package than this are one finding about the package: somebody has replaced it, not this file or that.
const APART_MAX: usize = 10;

/// What is open, a package with many files as one. `more` are files that are only counted.
pub fn said(open: &[Finding], more: &BTreeMap<String, u64>) -> Vec<Problem> {
    let mut by_package: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in open {
        by_package.entry(package_of(finding)).or_default().push(finding);
    }
    let mut said = Vec::new();
    for (package, findings) in by_package {
        if findings.len() <= APART_MAX {
            said.extend(findings.into_iter().map(|it| Problem::from_finding(it.clone())));
        } else {
            said.push(whole(package, &findings, more.get(package).copied().unwrap_or_default()));
        }
    }
    said
}

fn whole(package: &str, findings: &[&Finding], more: u64) -> Problem {
    let count = findings.len() as u64 + more;
    let mut names: Vec<String> = findings.iter().map(|it| text::line(&it.subject.name)).collect();
    names.sort();
    let first = names.first().cloned().unwrap_or_default();
    let title = format!("{count} files of package {package} are not what it installed; one is {first}");
    let mut problem = Problem::new(MODIFIED, "many", subject("package", package), &title)
        .severity(Severity::High)
        .evidence(evidence("package.name", package))
        .evidence(evidence("files", count))
        .evidence(evidence("file.names", names));
    for fact in ["package.version", "remedy"] {
        if let Some(value) = findings.first().and_then(|it| facts::text(it, fact)) {
            problem = problem.evidence(evidence(fact, value));
        }
    }
    problem
}
