//! Debian packages: what was installed, upgraded and removed, and whether a file is what its package shipped.
//!
//! Reads dpkg's own log and database; starts no process and takes no lock. On hosts without dpkg everything is absent, which
//! is no error.

mod fact;
mod log;
mod tail;

#[cfg(test)]
mod tests;

pub(super) use fact::STATUS;
pub(super) use fact::{in_progress, installed, package_fact};
pub use log::{Entry, Verb, change, parse_line, parse_time};
pub use tail::{local_zone, logged, tail};
