//! `cargo xtask run`: the agent and its actuator from a checkout, as whoever runs it.
//!
//! Everything lies below `target/run`: configuration, policy, databases, sockets. The files are written once and then are
//! yours to edit. The actuator may touch only `target/run/playground` and the units that its allow-list names, with the
//! rights of the present user.

mod files;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::guests;
use crate::process::{cargo, must, program, say};
use crate::test::WORKSPACE;

/// How long the agent may take until it answers, and until it has stopped.
const PATIENCE: Duration = Duration::from_secs(40);
const STEP: Duration = Duration::from_millis(100);

pub(crate) fn run(root: &Path) -> Result<()> {
    guests::build(root)?;
    must(cargo(root).arg("build").args(WORKSPACE).arg("--bins"))?;
    let dir = root.join("target/run");
    files::write(root, &dir)?;

    let mut stop = signal_hook::iterator::Signals::new([signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM])
        .context("cannot listen for Ctrl-C")?;
    let bin = root.join("target/debug");
    let (socket, actuator_socket) = (dir.join("holdfast.sock"), dir.join("actuator.sock"));
    let mut actuator = Running::start(
        "holdfast-actuator",
        // A group of their own: Ctrl-C reaches this process only, which then stops them in order.
        program(root, bin.join("holdfast-actuator"))
            .process_group(0)
            .arg("--socket")
            .arg(&actuator_socket)
            .arg("--config")
            .arg(dir.join("actuator.toml"))
            .arg("--state-dir")
            .arg(dir.join("actuator-state")),
    )?;
    actuator.wait_until(|| std::os::unix::net::UnixStream::connect(&actuator_socket).is_ok())?;
    let mut agent = Running::start(
        "holdfast",
        program(root, bin.join("holdfast"))
            .process_group(0)
            .arg("--config")
            .arg(dir.join("holdfast.toml"))
            .arg("run")
            .arg("--data-dir")
            .arg(dir.join("data"))
            .arg("--socket")
            .arg(&socket),
    )?;
    agent.wait_until(|| std::os::unix::net::UnixStream::connect(&socket).is_ok())?;
    say(&files::welcome(root, &dir));

    loop {
        if stop.pending().next().is_some() {
            say("\nstopping");
            return agent.stop().and(actuator.stop());
        }
        agent.still_runs()?;
        actuator.still_runs()?;
        std::thread::sleep(STEP);
    }
}

/// A child that does not outlive us.
struct Running {
    name: &'static str,
    child: Child,
}

impl Running {
    fn start(name: &'static str, command: &mut std::process::Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child })
    }

    fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself: {status}", self.name),
        }
    }

    fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> Result<()> {
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            self.still_runs()?;
            if ready() {
                return Ok(());
            }
            std::thread::sleep(STEP);
        }
        bail!("{} did not get ready within {} s", self.name, PATIENCE.as_secs())
    }

    fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("not a process id")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop {}", self.name))?;
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(STEP);
        }
        bail!("{} did not stop within {} s", self.name, PATIENCE.as_secs())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
