//! `policy`: documents are checked, tested and replayed here, without an agent; decisions are explained from its records.

use std::path::{Path, PathBuf};

use holdfast_core::model::{Decision, DecisionId, FindingId, FindingState, Incident, Suspect};
use holdfast_core::policy::cases::CaseResult;
use holdfast_core::policy::{self, Diagnostic, Inputs, Level, Policy, PolicyFile};
use serde::Serialize;

use super::super::args::{Explained, Policy as Command};
use super::super::exit::{DONE, Failure, INCONCLUSIVE, NO, Outcome, USAGE};
use super::super::view;
use super::{Session, given};
use crate::api::Client;
use crate::api::wire::{DecisionDocument, DecisionsDocument, FindingDocument, IncidentDocument, RemediationDocument};
use crate::config::Overrides;

/// More policy files, or larger ones, are a mistake.
const FILES_MAX: usize = 1_000;
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// `policy check`
#[derive(Debug, Serialize)]
pub(in super::super) struct Checked {
    pub(in super::super) files: Vec<String>,
    pub(in super::super) rules: usize,
    pub(in super::super) digest: String,
    pub(in super::super) errors: usize,
    pub(in super::super) warnings: usize,
    pub(in super::super) diagnostics: Vec<Mistake>,
}

/// `policy test`
#[derive(Debug, Serialize)]
pub(in super::super) struct Tested {
    pub(in super::super) passed: usize,
    pub(in super::super) failed: usize,
    pub(in super::super) cases: Vec<Case>,
    pub(in super::super) diagnostics: Vec<Mistake>,
}

/// One case of `policy test`.
#[derive(Debug, Serialize)]
pub(in super::super) struct Case {
    pub(in super::super) name: String,
    pub(in super::super) file: String,
    pub(in super::super) line: usize,
    pub(in super::super) passed: bool,
    /// What was decided otherwise than expected.
    pub(in super::super) problems: Vec<String>,
}

/// What is wrong in a document, and where.
#[derive(Debug, Serialize)]
pub(in super::super) struct Mistake {
    /// `error` or `warning`.
    pub(in super::super) level: &'static str,
    pub(in super::super) file: String,
    pub(in super::super) line: usize,
    pub(in super::super) column: usize,
    pub(in super::super) message: String,
    pub(in super::super) hint: Option<String>,
    /// As text, with the line and a caret.
    #[serde(skip)]
    pub(in super::super) text: String,
}

impl From<&Diagnostic> for Mistake {
    fn from(it: &Diagnostic) -> Self {
        Self {
            level: it.level.as_str(),
            file: it.file.clone(),
            line: it.line,
            column: it.column,
            message: it.message.clone(),
            hint: it.hint.clone(),
            text: it.to_string(),
        }
    }
}

/// `policy replay`
#[derive(Debug, Serialize)]
pub(in super::super) struct Replayed {
    pub(in super::super) policy_digest: String,
    /// Decisions that were decided again.
    pub(in super::super) decided: usize,
    /// Those that came out the same.
    pub(in super::super) same: usize,
    /// Those whose inputs this version cannot read.
    pub(in super::super) unreadable: usize,
    pub(in super::super) differences: Vec<Difference>,
    /// Whether there are more decisions than could be read at once.
    pub(in super::super) truncated: bool,
}

/// One decision that the other policy would take otherwise.
#[derive(Debug, Serialize)]
pub(in super::super) struct Difference {
    pub(in super::super) before: Decision,
    pub(in super::super) after: Decision,
}

/// Decisions that are replayed at most.
const REPLAY_MAX: usize = 1_000;

pub(super) fn run(it: &Session, command: Command) -> Outcome {
    match command {
        Command::Check { paths } => check(it, &paths),
        Command::Test { paths } => test(it, &paths),
        Command::Explain { id } => explain(it, id),
        Command::Replay { since, policy } => replay(it, since, &policy),
    }
}

/// The files that are named, those of directories by name; without any, those of the configured directory.
fn files(it: &Session, paths: &[PathBuf]) -> Result<Vec<PolicyFile>, Failure> {
    let paths = if paths.is_empty() {
        let loaded = super::config::load(it.global.config.as_deref(), &Overrides::default())?;
        vec![loaded.config.policy.dir]
    } else {
        paths.to_vec()
    };
    let mut found = Vec::new();
    for path in &paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).map_err(|e| cannot_read(path, &e))?;
            let mut inside: Vec<PathBuf> = entries.filter_map(Result::ok).map(|e| e.path()).collect();
            inside.retain(|p| p.extension().is_some_and(|e| e == "toml") && p.is_file());
            inside.sort();
            found.extend(inside);
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
        return Err(Failure::usage(format!("there is no policy file (*.toml) in {}", names.join(", "))));
    }
    if found.len() > FILES_MAX {
        return Err(Failure::usage(format!("there are {} policy files, at most {FILES_MAX} are read", found.len())));
    }
    found.iter().map(|p| read(p)).collect()
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!("cannot read {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<PolicyFile, Failure> {
    let bytes = std::fs::metadata(path).map_err(|e| cannot_read(path, &e))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{} has {bytes} bytes, a policy file has at most {FILE_BYTES_MAX}",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|e| cannot_read(path, &e))?;
    let name = path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
    Ok(PolicyFile { name, text })
}

fn count(diagnostics: &[Diagnostic], level: Level) -> usize {
    diagnostics.iter().filter(|d| d.level == level).count()
}

fn check(it: &Session, paths: &[PathBuf]) -> Outcome {
    let files = files(it, paths)?;
    let (policy, mut diagnostics) = Policy::load(&files);
    let cases: Vec<PolicyFile> = files.iter().filter(|f| f.is_cases()).cloned().collect();
    diagnostics.extend(policy::cases::run(&policy, &cases).1);
    let checked = Checked {
        files: files.iter().map(|f| f.name.clone()).collect(),
        rules: policy.rules().len(),
        digest: policy.digest().to_owned(),
        errors: count(&diagnostics, Level::Error),
        warnings: count(&diagnostics, Level::Warning),
        diagnostics: diagnostics.iter().map(Mistake::from).collect(),
    };
    it.out.document(&checked, |_| view::policy::checked(&checked))?;
    Ok(if checked.errors > 0 { USAGE } else { DONE })
}

fn test(it: &Session, paths: &[PathBuf]) -> Outcome {
    let files = files(it, paths)?;
    let (policy, mut diagnostics) = Policy::load(&files);
    let cases: Vec<PolicyFile> = files.iter().filter(|f| f.is_cases()).cloned().collect();
    let (results, more) = policy::cases::run(&policy, &cases);
    diagnostics.extend(more);
    let case =
        |c: CaseResult| Case { passed: c.passed(), name: c.name, file: c.file, line: c.line, problems: c.problems };
    let cases: Vec<Case> = results.into_iter().map(case).collect();
    let passed = cases.iter().filter(|c| c.passed).count();
    let broken = count(&diagnostics, Level::Error) > 0;
    let diagnostics = diagnostics.iter().map(Mistake::from).collect();
    let tested = Tested { passed, failed: cases.len() - passed, cases, diagnostics };
    it.out.document(&tested, |_| view::policy::tested(&tested))?;
    Ok(match () {
        () if broken => USAGE,
        () if tested.failed > 0 => NO,
        () if tested.passed == 0 => INCONCLUSIVE,
        () => DONE,
    })
}

fn explain(it: &Session, id: Explained) -> Outcome {
    let client = it.client()?;
    let decisions = match id {
        Explained::Decision(id) => {
            vec![client.get::<DecisionDocument>(&format!("/decisions/{id}"), &[])?.decision]
        }
        Explained::Remediation(id) => {
            let document: RemediationDocument = client.get(&format!("/remediations/{id}"), &[])?;
            vec![document.remediation.decision]
        }
        Explained::Finding(id) => {
            let document: FindingDocument = client.get(&format!("/findings/{id}"), &[])?;
            if document.finding.state == FindingState::Suppressed {
                // No rule is asked about it: the label is the explanation.
                it.out.document(&document, |look| view::labels::explain(&document, look))?;
                return Ok(DONE);
            }
            document.decisions
        }
    };
    let incident = decisions.first().and_then(|it| incident_of(client, &it.finding));
    let suspects = incident.as_ref().map(|it| it.suspects.clone()).unwrap_or_default();
    let document = ExplainedDocument { decisions, suspects };
    it.out.document(&document, |look| view::decisions::explain(&document.decisions, incident.as_ref(), look))?;
    Ok(if document.decisions.is_empty() { INCONCLUSIVE } else { DONE })
}

/// What was decided, and what is suspected of the trouble that it was about.
#[derive(Serialize)]
struct ExplainedDocument {
    decisions: Vec<Decision>,
    suspects: Vec<Suspect>,
}

/// The incident of a finding, unless either is kept no more.
fn incident_of(client: &Client, finding: &FindingId) -> Option<Incident> {
    let of: FindingDocument = client.get(&format!("/findings/{finding}"), &[]).ok()?;
    let id = of.finding.incident?;
    client.get::<IncidentDocument>(&format!("/incidents/{id}"), &[]).ok().map(|it| it.incident)
}

fn replay(it: &Session, since: String, paths: &[PathBuf]) -> Outcome {
    let files = files(it, paths)?;
    let (policy, diagnostics) = Policy::load(&files);
    let errors: Vec<String> = diagnostics.iter().filter(|d| d.level == Level::Error).map(ToString::to_string).collect();
    if !errors.is_empty() {
        return Err(Failure::usage(errors.join("\n")));
    }
    let parameters = given(vec![("since", Some(since)), ("limit", Some(REPLAY_MAX.to_string()))]);
    let history: DecisionsDocument = it.client()?.get("/decisions", &parameters)?;
    let replayed = again(&policy, history.decisions);
    it.out.document(&replayed, |look| view::policy::replayed(&replayed, look))?;
    Ok(match () {
        () if !replayed.differences.is_empty() => NO,
        () if replayed.decided == 0 => INCONCLUSIVE,
        () => DONE,
    })
}

/// Pure: stored decisions, decided again from their own inputs.
fn again(policy: &Policy, history: Vec<Decision>) -> Replayed {
    let mut replayed = Replayed {
        policy_digest: policy.digest().to_owned(),
        decided: 0,
        same: 0,
        unreadable: 0,
        differences: Vec::new(),
        truncated: history.len() >= REPLAY_MAX,
    };
    for before in history {
        let Ok(inputs) = serde_json::from_value::<Inputs>(before.inputs.clone()) else {
            replayed.unreadable += 1;
            continue;
        };
        let id: DecisionId = before.id.clone();
        let after = policy::decide(policy, inputs, id);
        replayed.decided += 1;
        if (after.verdict, after.mode, &after.rule) == (before.verdict, before.mode, &before.rule) {
            replayed.same += 1;
        } else {
            replayed.differences.push(Difference { before, after });
        }
    }
    replayed
}
