//! release-verify: does a release directory hold what was deployed?
//!
//! The manifest of digests that came with the release is the measure, and the digest of the manifest that the agent recorded when the
//! deployment finished is the measure of the manifest. What cannot be read is skipped and says so; it is never passed.

pub mod compare;
pub mod manifest;
pub mod problems;
pub mod releases;
pub mod remedy;

use std::collections::BTreeMap;

use holdfast_plugin_sdk::host::{changes, clock, files, log, state};
use holdfast_plugin_sdk::measure::Span;
use holdfast_plugin_sdk::step::Owner;
use holdfast_plugin_sdk::{
    Check, Context, Error, Finding, HostPath, Outcome, Plan, Plugin, Problem, ProposedPlan, Remediator, Report,
    Verdict, export, facts, text,
};
use serde::Deserialize;

use compare::{Lies, compare};
use manifest::Manifest;
use problems::{FOREIGN, RULES, TAMPERED, about, carried, of_deviations, of_manifest};
use releases::{KINDS, Release, choose};
use remedy::{Answer, Now};

/// A manifest is larger than this by mistake only.
const MANIFEST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Changes asked for at once.
const CHANGES_MAX: u32 = 1_000;
/// Findings of one report; the host takes 1000.
const FINDINGS_MAX: usize = 900;
/// Where the findings of the last run are kept.
const STATE_OPEN: &str = "open";

/// `[settings]` of plugin.toml, which holds the defaults.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Settings {
    /// Where releases lie.
    pub roots: Vec<HostPath>,
    /// Release directories beside those that deployments announce.
    pub dirs: Vec<HostPath>,
    /// The manifest's name within a release.
    pub manifest: String,
    /// How many releases of one service are checked.
    pub releases_per_service: usize,
    /// How far back deployments are looked for.
    pub look_back: Span,
    /// Globs of files that may come and go.
    pub ignore: Vec<String>,
    /// Findings of one release.
    pub max_findings: usize,
    /// When reading ends.
    pub verify_within: Span,
}

/// The plugin.
pub struct ReleaseVerify {
    settings: Settings,
}

impl Plugin for ReleaseVerify {
    type Settings = Settings;

    fn configure(_: Context, settings: Settings) -> Result<Self, Error> {
        if settings.manifest.is_empty() || settings.manifest.contains('/') {
            return Err(Error::Invalid("settings.manifest is a file name, such as \"SHA256SUMS\"".to_owned()));
        }
        Ok(Self { settings })
    }
}

/// What one release gave.
struct Verified {
    problems: Vec<Problem>,
    /// Parts that could not be read, absolute.
    unread: Vec<String>,
    /// Why the manifest cannot be the measure: it is not the one that was deployed.
    manifest_bad: bool,
}

impl Check for ReleaseVerify {
    fn run(&self, report: &mut Report) -> Result<(), Error> {
        let now = clock::now_ns();
        let changes = changes::query(&KINDS, now.saturating_sub(self.settings.look_back.0), now, CHANGES_MAX)?;
        let last: Vec<Finding> = state::get(STATE_OPEN)?.unwrap_or_default();
        let mut open: Vec<Finding> = Vec::new();
        for release in choose(&changes, now, self.settings.releases_per_service, &self.settings.dirs) {
            let (found, unread, skipped, manifest_bad) = match self.verify(&release) {
                Ok(Some(it)) => (it.problems, it.unread, false, it.manifest_bad),
                Ok(None) => continue,
                Err(why) => {
                    for rule in RULES {
                        report.skipped(rule, naming(&release, &why));
                    }
                    (vec![], vec![], true, false)
                }
            };
            if let Some(path) = unread.first() {
                let why = format!("{} parts could not be read, the first is {path}", unread.len());
                report.skipped(TAMPERED, Error::Io(about(&release, &why)));
            }
            if manifest_bad {
                let why = Error::Invalid(about(
                    &release,
                    "its manifest is not the one that was deployed, so it proves nothing",
                ));
                report.skipped(TAMPERED, why.clone());
                report.skipped(FOREIGN, why);
            }
            let carried = carried(last.clone(), release.dir.as_str(), skipped, manifest_bad, &unread);
            open.extend(found.iter().map(|problem| problem.finding().clone()));
            open.extend(carried.into_iter().filter(|old| !found.iter().any(|p| same(p.finding(), old))));
        }
        if open.len() > FINDINGS_MAX {
            let why = format!("{} problems, more than the {FINDINGS_MAX} that one report holds", open.len());
            report.skipped(TAMPERED, Error::Limit(why));
            open.truncate(FINDINGS_MAX);
        }
        for finding in &open {
            report.found(Problem::from_finding(finding.clone()));
        }
        for rule in RULES {
            report.evaluated(rule);
        }
        if let Err(error) = state::set(STATE_OPEN, &open) {
            log::warn("What was found could not be remembered.", &[("error", &error.to_string())]);
        }
        Ok(())
    }
}

fn same(a: &Finding, b: &Finding) -> bool {
    (&a.rule, &a.id, &a.subject.name) == (&b.rule, &b.id, &b.subject.name)
}

/// The error with the release's name in it.
fn naming(release: &Release, why: &Error) -> Error {
    let with = |text: &String| about(release, text);
    match why {
        Error::Denied(text) => Error::Denied(with(text)),
        Error::NotFound(text) => Error::NotFound(with(text)),
        Error::Invalid(text) => Error::Invalid(with(text)),
        Error::Limit(text) => Error::Limit(with(text)),
        Error::Timeout(text) => Error::Timeout(with(text)),
        Error::Io(text) => Error::Io(with(text)),
        Error::Unsupported(text) => Error::Unsupported(with(text)),
        Error::Other(text) => Error::Other(with(text)),
    }
}

impl ReleaseVerify {
    /// `None`: an older release that was cleaned away.
    fn verify(&self, release: &Release) -> Result<Option<Verified>, Error> {
        let dir = release.dir.as_str();
        if !self.may_lie(&release.dir) {
            return Err(Error::Denied("it lies below none of settings.roots; name the place there".to_owned()));
        }
        match files::stat(dir)? {
            Some(found) if found.kind == files::Kind::Directory => {}
            Some(_) => return Err(Error::Invalid("it is no directory".to_owned())),
            None if release.must_exist => return Err(Error::NotFound("there is no such directory".to_owned())),
            None => return Ok(None),
        }
        let name = self.settings.manifest.as_str();
        let bytes = files::read(&format!("{dir}/{name}"), MANIFEST_BYTES_MAX)?;
        let manifest = match self.judge_manifest(release, bytes)? {
            Ok(manifest) => manifest,
            Err(problem) => return Ok(Some(Verified { problems: vec![*problem], unread: vec![], manifest_bad: true })),
        };
        let (tree, unread) = self.tree(&release.dir)?;
        let relative: Vec<String> =
            unread.iter().map(|path| release.dir.below(path).unwrap_or_default().to_owned()).collect();
        let deviations = compare(&manifest, &tree, &relative, name, &self.settings.ignore);
        let problems = of_deviations(release, &deviations, self.settings.max_findings);
        Ok(Some(Verified { problems, unread, manifest_bad: false }))
    }

    /// Pure: whether the operator named this place, or one around it.
    fn may_lie(&self, dir: &HostPath) -> bool {
        let Settings { roots, dirs, .. } = &self.settings;
        roots.iter().chain(dirs).any(|root| root == dir || root.below(dir.as_str()).is_some())
    }

    /// Pure: the manifest, or the problem that it is not the one that was deployed, or why there is nothing to check against.
    fn judge_manifest(
        &self,
        release: &Release,
        bytes: Option<Vec<u8>>,
    ) -> Result<Result<Manifest, Box<Problem>>, Error> {
        let name = self.settings.manifest.as_str();
        let Some(bytes) = bytes else {
            return match &release.manifest_sha256 {
                Some(recorded) => Ok(Err(Box::new(of_manifest(release, name, recorded, None)))),
                None => Err(Error::NotFound(format!("it has no {name}, so there is nothing to check it against"))),
            };
        };
        let actual = problems::digest(&bytes);
        if let Some(recorded) = release.manifest_sha256.as_ref().filter(|recorded| **recorded != actual) {
            let found = Some((&actual, bytes.len() as u64));
            return Ok(Err(Box::new(of_manifest(release, name, recorded, found))));
        }
        let text = String::from_utf8(bytes).map_err(|_| Error::Invalid(format!("{name} is not UTF-8")))?;
        manifest::parse(&text).map(Ok).map_err(|error| Error::Invalid(format!("{name}, {error}")))
    }

    /// Everything in the release but directories, and what could not be read.
    fn tree(&self, dir: &HostPath) -> Result<(BTreeMap<String, Lies>, Vec<String>), Error> {
        let (mut tree, mut unread) = (BTreeMap::new(), Vec::new());
        let errors = files::Walk::new().hashed().run(dir.as_str(), |entry| {
            if clock::monotonic_ns() > self.settings.verify_within.0 {
                let within = text::span(self.settings.verify_within.0);
                return Err(Error::Timeout(format!("it was not read to its end within {within}")));
            }
            let Some(relative) = dir.below(&entry.path) else { return Ok(()) };
            let lies = match (entry.metadata.kind, entry.digest) {
                (files::Kind::Directory, _) => return Ok(()),
                (files::Kind::File, Some(digest)) => {
                    Lies::File { sha256: holdfast_plugin_sdk::Sha256::parse(&digest.hex)?, bytes: digest.size }
                }
                (files::Kind::File, None) => {
                    unread.push(entry.path);
                    return Ok(());
                }
                (files::Kind::Symlink, _) => Lies::Link(entry.link_target.unwrap_or_default()),
                (files::Kind::Other, _) => Lies::Other,
            };
            tree.insert(relative.to_owned(), lies);
            Ok(())
        })?;
        unread.extend(errors.into_iter().map(|error| error.path));
        unread.sort();
        unread.dedup();
        Ok((tree, unread))
    }

    /// The manifest's owner, for a file that is gone.
    fn beside(&self, finding: &Finding) -> Result<Option<Owner>, Error> {
        let Some(dir) = facts::text(finding, "release.dir") else { return Ok(None) };
        let found = files::stat(&format!("{dir}/{}", self.settings.manifest))?;
        Ok(found.map(|it| Owner { mode: 0o644, uid: it.uid, gid: it.gid }))
    }
}

/// What lies at a path now.
fn look(path: &str) -> Result<Now, Error> {
    let Some(found) = files::stat(path)? else { return Ok(Now::Absent) };
    Ok(match found.kind {
        files::Kind::File => match files::sha256(path)? {
            Some((sha256, bytes)) => {
                let owner = Owner { mode: found.mode & 0o7777, uid: found.uid, gid: found.gid };
                Now::File { sha256, bytes, nlink: found.nlink, owner }
            }
            None => Now::Absent,
        },
        files::Kind::Directory => Now::Other("a directory".to_owned()),
        files::Kind::Symlink => Now::Other("a symbolic link".to_owned()),
        files::Kind::Other => Now::Other("a socket, device or pipe".to_owned()),
    })
}

impl Remediator for ReleaseVerify {
    fn propose(&self, finding: &Finding) -> Result<Option<Plan>, Error> {
        if finding.subject.kind != "file" {
            return Err(Error::Unsupported(format!("a finding about a {}, not about a file", finding.subject.kind)));
        }
        let now = look(&finding.subject.name)?;
        match remedy::propose(finding, &now, self.beside(finding)?)? {
            Answer::Plan(plan) => Ok(Some(*plan)),
            Answer::Fine(why) => {
                log::info("Nothing to propose.", &[("why", &why)]);
                Ok(None)
            }
        }
    }

    fn verify(&self, finding: &Finding, _: &ProposedPlan, _: &[Outcome]) -> Result<Verdict, Error> {
        let now = look(&finding.subject.name)?;
        let path = text::line(&finding.subject.name);
        Ok(if remedy::is_cured(finding, &now)? {
            Verdict::Healed(format!("{path} is as the manifest says"))
        } else {
            Verdict::NotHealed(format!("{path} is still not as the manifest says"))
        })
    }
}

export!(ReleaseVerify: Check + Remediator);

#[cfg(test)]
mod tests;
