//! What was altered around the machine: watched files and packages. Units are told by `host::systemd`.
//!
//! Everything here reads and tells; it never judges and never acts. A notice that was lost is made good by a look at
//! everything; whatever exceeds a bound is counted and said.

pub mod dpkg;
pub mod files;
