//! What the suites share: where the repository lies, and time and processes, which only this file reaches.

pub mod source;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_path_buf()
}

/// A program to start, without standard input.
#[expect(clippy::disallowed_methods, reason = "suites drive real programs; this is the one place that starts them")]
pub fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

/// Now, for deadlines and elapsed time.
#[expect(
    clippy::disallowed_methods,
    reason = "suites wait for real programs; this is the one place that reads the clock"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock in nanoseconds since the epoch, for what senders say.
#[expect(clippy::disallowed_methods, reason = "senders tell the time; this is the one place that reads the clock")]
pub fn unix_ns() -> u128 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |it| it.as_nanos())
}
