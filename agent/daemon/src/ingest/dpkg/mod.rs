//! Debian packages: what was installed, upgraded and removed, and whether a file is what its package shipped.
//!
//! Reads dpkg's own log and database; starts no process and takes no lock. On hosts without dpkg everything is absent, which
//! is no error.

mod fact;
mod log;
mod tail;

#[cfg(test)]
mod tests;

pub use fact::{in_progress, package_fact};
pub use log::{Entry, Verb, change, parse_line, parse_time};
pub use tail::{local_zone, tail};

/// What the package manager knows about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFact {
    /// `nginx-common`.
    pub package: String,
    /// `1.24.0-2`.
    pub version: String,
    /// When the package was last unpacked, if known.
    pub changed_at: Option<holdfast_core::model::Timestamp>,
    /// Whether what lies there now is what the package shipped.
    pub digest_matches: bool,
}
