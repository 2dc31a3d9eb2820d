//! `file.drift`, and `user.drift` and its like: what lies on disk or what the host is made of is not
//! what was accepted, and no known change explains it.
//!
//! Explained is only what a declared deployment covers, what a package brought (**its digest must match**: a changed file in the
//! middle of a package run is drift all the same), or what the agent itself did. Owner and mode count like content.
//! Absence: a file that was accepted as absent and is absent is unchanged; content that is not known gives drift without a diff.

mod diff;
mod items;
mod judge;
mod secret;
mod while_deploying;

#[cfg(test)]
mod tests;

pub use items::{ItemFacts, LAST_AS_ACCEPTED, judge_item};
pub use judge::judge;

use crate::model::{CauseId, Deployment, Detection, FileState, Timestamp};

/// What the package manager knows about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFact {
    /// `nginx-common`.
    pub package: String,
    /// `1.24.0-2`.
    pub version: String,
    /// When the package was last installed or upgraded, if known.
    pub changed_at: Option<Timestamp>,
    /// Whether what lies there now is what the package shipped.
    pub digest_matches: bool,
}

/// Everything that a judgement is made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What was accepted.
    pub accepted: &'a FileState,
    /// Its content, where it was kept.
    pub accepted_content: Option<&'a [u8]>,
    /// What lies there.
    pub current: &'a FileState,
    /// Its content, where it could be read.
    pub current_content: Option<&'a [u8]>,
    /// Deployments that are running or finished lately.
    pub deployments: &'a [Deployment],
    /// The package that owns the file.
    pub package: Option<&'a PackageFact>,
    /// The agent's own remediation that wrote the file just now.
    pub cause: Option<&'a CauseId>,
    /// Now.
    pub at: Timestamp,
}

/// What it comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// As accepted; the detection is `Cleared`.
    Unchanged(Detection),
    /// Different, and known why: no finding; the caller records it and may accept the new state.
    Explained {
        /// A sentence.
        by: String,
        /// Deployment id, package or remediation id.
        reference: String,
    },
    /// Different and nobody said why. Evidence `file.diff` (unified, capped, values of keys that look like secrets left out),
    /// `file.sha256`, `file.accepted_sha256`, and mode and owner where they changed.
    Unexplained(Detection),
}
