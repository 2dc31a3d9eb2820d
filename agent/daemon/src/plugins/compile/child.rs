//! The child's side: gives up what it can, then compiles what comes in and writes what comes out.
//!
//! Before the first byte of the component is read the process can open no file and no socket, write no file, start no process, keep no
//! capability, and use only so much memory and time. It ends with its parent.

use std::io::{self, Read, Write};

use holdfast_plugin_host::{COMPONENT_BYTES_MAX, SEAL_BYTES, SealKey};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

/// What the child may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confinement {
    /// CPU time in seconds. Default: 90, a Python interpreter takes about 11.
    pub cpu_s: u64,
    /// Address space in bytes. Default: 1 GiB.
    pub memory_bytes: u64,
}

impl Default for Confinement {
    fn default() -> Self {
        Self { cpu_s: 90, memory_bytes: 1 << 30 }
    }
}

/// Compiles the component on the standard input into the standard output.
///
/// Errors: one sentence, for the parent to show.
pub fn compile_from_stdin(limits: Confinement) -> Result<(), String> {
    confine(limits).map_err(|error| format!("the compiler cannot be confined: {error}"))?;
    let mut asked = Vec::new();
    let bytes_max = SEAL_BYTES + COMPONENT_BYTES_MAX;
    let input = io::stdin().lock();
    input.take(bytes_max as u64 + 1).read_to_end(&mut asked).map_err(|error| format!("nothing to compile: {error}"))?;
    let (key, component) = asked.split_first_chunk::<SEAL_BYTES>().ok_or("nothing to compile")?;
    let sealed = holdfast_plugin_host::compile(component, &SealKey::from_bytes(*key)).map_err(|e| e.to_string())?;
    let mut output = io::stdout().lock();
    output.write_all(&sealed).and_then(|()| output.flush()).map_err(|error| format!("nobody reads: {error}"))
}

fn confine(limits: Confinement) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // Where memory runs out all the same, this process goes first. Without /proc it is a candidate like others.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    for (resource, most) in [
        (Resource::Cpu, limits.cpu_s),
        (Resource::As, limits.memory_bytes),
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nproc, 0),
        (Resource::Memlock, 0),
        // The three pipes are open already, and stay so. None could be taken in the place of one that is closed.
        (Resource::Nofile, 0),
    ] {
        let now = getrlimit(resource);
        let soft = now.maximum.map_or(most, |hard| hard.min(most));
        // A second more, so that the first signal is the one that names the cause.
        let hard = if matches!(resource, Resource::Cpu) { now.maximum.unwrap_or(u64::MAX).min(soft + 1) } else { soft };
        setrlimit(resource, Rlimit { current: Some(soft), maximum: Some(hard) })?;
    }
    rustix::thread::set_no_new_privs(true)?;
    // The agent may read every file of the host; its compiler needs none. A kernel without ambient capabilities gave none.
    let _ = rustix::thread::clear_ambient_capability_set();
    let none = rustix::thread::CapabilitySet::empty();
    let sets = rustix::thread::CapabilitySets { effective: none, permitted: none, inheritable: none };
    rustix::thread::set_capabilities(None, sets)?;
    Ok(())
}
