//! Real machines for the scenarios: Debian, systemd, D-Bus, journald, our own units; nothing is faked.
//!
//! Resource limits of units are accepted and not enforced in these machines: a green test proves nothing about them.

mod cgroup;
mod diagnosis;
mod install;
mod machine;
mod past;
mod site;
mod tree;

pub(crate) use diagnosis::on;
pub(crate) use machine::Machine;
pub(crate) use site::{RESTART, id, is_open};
