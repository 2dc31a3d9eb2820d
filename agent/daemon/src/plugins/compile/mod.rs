//! Compiling a component in a process of its own, which has limits and nothing to lose.
//!
//! The daemon never compiles what others wrote: the compiler is large, and what a component holds decides how long it works and how
//! much memory it takes. The child gets the component and the key of its one seal through a pipe, no environment and no argument that
//! names a file; see [`child`] for what it gives up. A component that is a bomb costs the child, is refused, and says so.

mod child;

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use holdfast_plugin_host::{Artifact, SealKey};
use wait4::{ResUse, Wait4};

pub use child::{Confinement, compile_from_stdin};

/// A sealed artifact may have so many bytes; the compiler makes about three of one.
pub(super) const ARTIFACT_BYTES_MAX: u64 = 128 << 20;
/// What a failing child says is read up to here.
const WORDS_BYTES_MAX: u64 = 4 * 1024;
/// A child that has said everything ends within this, or is ended.
const END: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(2);

/// Who compiles.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// A child of this process.
    Child {
        /// The program; it understands `compile-plugin`.
        program: PathBuf,
        /// What it may use.
        limits: Confinement,
        /// Wall time until it is ended.
        deadline: Duration,
    },
    /// This process: for tests of other things, never in the daemon.
    Here,
}

impl Compiler {
    /// This very program as its own child, even when its file was replaced since.
    pub fn child() -> Self {
        let limits = Confinement::default();
        Self::Child { program: "/proc/self/exe".into(), limits, deadline: Duration::from_mins(3) }
    }

    /// The sealed artifact of a component.
    ///
    /// Errors: one sentence for the operator, which says what to do where that is known.
    pub(super) fn compile(&self, component: &[u8], artifact: &Artifact) -> Result<Vec<u8>, String> {
        match self {
            Self::Here => holdfast_plugin_host::compile(component, &artifact.key).map_err(|error| error.to_string()),
            Self::Child { program, limits, deadline } => {
                let child =
                    start(program, limits).map_err(|error| format!("the compiler cannot be started: {error}"))?;
                attend(child, component, &artifact.key, limits, *deadline)
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "docs/adr/0012: components are compiled in a child of the agent's own program"
)]
fn start(program: &PathBuf, limits: &Confinement) -> std::io::Result<Child> {
    Command::new(program)
        .arg("compile-plugin")
        .arg(format!("--cpu-seconds={}", limits.cpu_s))
        .arg(format!("--memory-bytes={}", limits.memory_bytes))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Feeds the child, takes what it says, and sees it end. Pipes have threads of their own, so that none of the three can block another.
fn attend(
    mut child: Child,
    component: &[u8],
    key: &SealKey,
    limits: &Confinement,
    deadline: Duration,
) -> Result<Vec<u8>, String> {
    if let Some(mut stdin) = child.stdin.take() {
        let asked = [key.as_bytes().as_slice(), component].concat();
        // A child that ends early reads no further: that is told by how it ended.
        std::thread::spawn(move || stdin.write_all(&asked));
    }
    let (said, words) = sync_channel(1);
    if let Some(stderr) = child.stderr.take() {
        std::thread::spawn(move || said.send(read(stderr, WORDS_BYTES_MAX)));
    }
    let (made, artifact) = sync_channel(1);
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || made.send(read(stdout, ARTIFACT_BYTES_MAX + 1)));
    }
    let artifact = artifact.recv_timeout(deadline);
    let late = matches!(artifact, Err(RecvTimeoutError::Timeout));
    let ended = end(child, late).map_err(|error| format!("the compiler cannot be waited for: {error}"))?;
    if late {
        return Err(format!("compiling it took longer than {} s and was ended", deadline.as_secs()));
    }
    let artifact = artifact.unwrap_or_default();
    if artifact.len() as u64 > ARTIFACT_BYTES_MAX {
        return Err(format!("its compiled form is larger than {ARTIFACT_BYTES_MAX} bytes"));
    }
    if ended.status.success() && !artifact.is_empty() {
        let (cpu, peak) = (ended.rusage.utime + ended.rusage.stime, ended.rusage.maxrss);
        let cpu_ms = u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(cpu_ms, memory_peak_bytes = peak, bytes = artifact.len(), "Plugin compiled.");
        return Ok(artifact);
    }
    let words = words.recv_timeout(END).unwrap_or_default();
    Err(why(&ended, String::from_utf8_lossy(&words).trim(), limits))
}

fn read(from: impl Read, bytes_max: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read until an error is all there is.
    let _ = from.take(bytes_max).read_to_end(&mut bytes);
    bytes
}

/// Waits for a child that has closed its output, and ends one that does not go.
fn end(mut child: Child, at_once: bool) -> std::io::Result<ResUse> {
    if !at_once {
        for _ in 0..END.as_millis() / LOOK.as_millis() {
            if let Some(ended) = child.try_wait4()? {
                return Ok(ended);
            }
            std::thread::sleep(LOOK);
        }
    }
    // One that has ended meanwhile cannot be killed: nothing to do.
    let _ = child.kill();
    child.wait4()
}

fn why(ended: &ResUse, words: &str, limits: &Confinement) -> String {
    let memory = || format!("compiling it took more than {} MiB of memory", limits.memory_bytes >> 20);
    let signal = |number: i32| rustix::process::Signal::from_named_raw(number);
    match ended.status.signal().map(|number| (number, signal(number))) {
        None if words.is_empty() => format!("the compiler ended with {} and said nothing", ended.status),
        None => words.trim_start_matches("error: ").to_owned(),
        Some((_, Some(rustix::process::Signal::XCPU))) => {
            format!("compiling it took more than {} s of CPU time", limits.cpu_s)
        }
        Some((_, Some(rustix::process::Signal::ABORT))) if words.contains("memory allocation") => memory(),
        Some((_, Some(rustix::process::Signal::KILL))) if ended.rusage.utime.as_secs() >= limits.cpu_s => {
            format!("compiling it took more than {} s of CPU time", limits.cpu_s)
        }
        Some((number, _)) => {
            format!("the compiler was ended by signal {number}: {}", words.chars().take(200).collect::<String>())
        }
    }
}

#[cfg(test)]
mod tests;
