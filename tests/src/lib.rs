//! What the suites share: where the repository lies, and time and processes, which only this file reaches.

mod host;
pub mod source;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

pub use host::Host;

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

/// An address on loopback that nobody uses now.
pub fn free_address() -> std::io::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// The agent's program, as everything else of the workspace was built.
///
/// Errors: it is not there; how to build it.
pub fn agent() -> anyhow::Result<PathBuf> {
    let path = root().join("target/debug/holdfast");
    anyhow::ensure!(path.exists(), "no {}\nhint: cargo build --workspace --bins", path.display());
    Ok(path)
}

/// What a program of ours printed, standard error last. It must end with `code`.
pub fn says(command: &mut Command, code: i32) -> anyhow::Result<String> {
    let ran = command.output()?;
    let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    anyhow::ensure!(ran.status.code() == Some(code), "{command:?} ended with {}: {text}", ran.status);
    Ok(text)
}

/// A process of a suite, which ends with this value.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
