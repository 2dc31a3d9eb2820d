//! A person's yes, no and take-it-back. A yes is always to one digest: the one that was asked for, or the one shown here.

use std::thread::sleep;
use std::time::Duration;

use holdfast_core::model::{Interval, Remediation, RemediationId, RemediationState};

use super::super::args::{Approve, Noted, UndoArgs};
use super::super::exit::{APPROVAL, DONE, FAILED, Failure, NO, Outcome, UNDONE};
use super::super::view;
use super::Session;
use crate::answers::Simulation;
use crate::api::wire::RemediationDocument;
use crate::request::Request;

/// Between two looks at a remediation that is waited for.
const POLL: Duration = Duration::from_millis(300);
/// A shorter start of a digest says too little.
const DIGEST_MIN: usize = 12;

pub(super) fn simulate(it: &Session, remediation: RemediationId) -> Outcome {
    let answer: Simulation = it.client()?.ask(&Request::Simulate { remediation })?;
    it.out.document(&answer, |look| view::remediations::simulation(&answer, look))?;
    let refused = answer.steps.iter().any(|s| s.refused.is_some());
    Ok(if refused { NO } else { DONE })
}

fn get(it: &Session, id: &RemediationId) -> Result<Remediation, Failure> {
    let document: RemediationDocument = it.client()?.get(&format!("/remediations/{id}"), &[])?;
    Ok(document.remediation)
}

/// The digest in full, when what was asked for is the plan's.
fn digest(wanted: Option<&str>, plan: &Remediation) -> Result<String, Failure> {
    let digest = plan.plan.digest().as_str();
    let Some(wanted) = wanted else { return Ok(digest.to_owned()) };
    let wanted = wanted.strip_prefix("sha256:").unwrap_or(wanted).to_ascii_lowercase();
    if wanted.len() < DIGEST_MIN || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Failure::usage(format!("`{wanted}` is not a digest, nor the first {DIGEST_MIN} figures of one")));
    }
    if digest.starts_with(&wanted) {
        return Ok(digest.to_owned());
    }
    Err(Failure::new(NO, format!("the plan of {} has digest {digest}, not {wanted}", plan.id))
        .hint(format!("look at it again with `holdfast remediations show {}`", plan.id)))
}

pub(super) fn approve(it: &Session, args: Approve) -> Outcome {
    let Noted { id, note } = args.noted;
    let seen = get(it, &id)?;
    let digest = digest(args.digest.as_deref(), &seen)?;
    it.out.progress(&format!("approving: {} (plan digest {digest})", seen.plan.body().summary));
    let request = Request::Approve { remediation: id, note, digest: Some(digest.clone()) };
    let answer: Remediation = it.client()?.ask(&request)?;
    finish(it, answer, args.wait, &format!("approved plan {digest}"), approved_code)
}

fn approved_code(state: RemediationState) -> u8 {
    use RemediationState as S;
    match state {
        S::Succeeded => DONE,
        S::Undone => UNDONE,
        S::Failed => FAILED,
        S::Rejected | S::Denied => 5,
        _ => APPROVAL,
    }
}

fn undone_code(state: RemediationState) -> u8 {
    match state {
        RemediationState::Undone => DONE,
        RemediationState::Undoing => APPROVAL,
        _ => FAILED,
    }
}

pub(super) fn reject(it: &Session, args: Noted) -> Outcome {
    let request = Request::Reject { remediation: args.id, note: args.note };
    let answer: Remediation = it.client()?.ask(&request)?;
    finish(it, answer, None, "rejected", approved_code)
}

pub(super) fn undo(it: &Session, args: UndoArgs) -> Outcome {
    let request = Request::Undo { remediation: args.noted.id, note: args.noted.note };
    let answer: Remediation = it.client()?.ask(&request)?;
    finish(it, answer, args.wait, "taken back", undone_code)
}

/// Waits, if that is wanted, and prints where it stands.
fn finish(
    it: &Session,
    mut remediation: Remediation,
    wait: Option<Interval>,
    what: &str,
    code: fn(RemediationState) -> u8,
) -> Outcome {
    let started = it.out.elapsed();
    let mut shown = remediation.state;
    if let Some(wait) = wait {
        while !remediation.state.is_final() && it.out.elapsed().saturating_sub(started) < wait.0 {
            sleep(POLL);
            remediation = get(it, &remediation.id)?;
            if remediation.state != shown {
                shown = remediation.state;
                it.out.progress(&shown.as_str().replace('_', " "));
            }
        }
    }
    it.out.document(&remediation, |look| {
        if wait.is_some() || it.global.verbose {
            return view::remediations::alone(&remediation, look);
        }
        format!("{} {what}; it is {} now.\n", remediation.id, remediation.state.as_str().replace('_', " "))
    })?;
    Ok(if wait.is_some() { code(remediation.state) } else { DONE })
}
