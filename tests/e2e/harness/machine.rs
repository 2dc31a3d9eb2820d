//! One machine: a copy of the tree, booted by systemd-nspawn, entered with nsenter, powered off at the end.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_tests::{now, program};
use rustix::process::{Pid, Signal, kill_process};

use super::cgroup::Cgroup;
use super::tree;

/// Machines are called `hfe2e-<pid>-<n>`: 64 characters at most, and the owner is told by the name.
const PREFIX: &str = "hfe2e-";
const BOOT_MAX: Duration = Duration::from_mins(1);
const STOP_MAX: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running machine.
pub(crate) struct Machine {
    root: PathBuf,
    nspawn: Child,
    leader: u32,
    console: PathBuf,
    // Removed last, after everything in it has ended.
    _cgroup: Cgroup,
}

/// What a program in the machine answered.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Machine {
    /// Boots a fresh machine and waits until its systemd says `running`.
    pub(crate) fn boot() -> Result<Self> {
        static TIDY: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(1);
        TIDY.call_once(remove_stale);
        let name = format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = machines().join(&name);
        tree::copy_to(&root)?;
        let console = machines().join(format!("{name}.console"));
        let log = File::create(&console)?;
        let cgroup = Cgroup::create(&name)?;
        let script = format!(
            "set -e\n{}export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1\nexec systemd-nspawn -q -D '{}' -M {name} --boot --register=no \
             --keep-unit --system-call-filter=openat2 --private-network --console=read-only",
            cgroup.enter(),
            root.display()
        );
        let nspawn = program("bash").args(["-c", &script]).stdout(log.try_clone()?).stderr(log).spawn()?;
        let mut machine = Self { root, nspawn, leader: 0, console, _cgroup: cgroup };
        machine.leader = machine.wait_until("systemd-nspawn starts a systemd", BOOT_MAX, |m| {
            if let Some(status) = m.nspawn.try_wait()? {
                bail!("systemd-nspawn ended: {status}\n{}", fs::read_to_string(&m.console).unwrap_or_default());
            }
            Ok(init_of(m.nspawn.id()))
        })?;
        machine.wait_until("the machine has booted", BOOT_MAX, |m| {
            let state = m.try_run("systemctl is-system-running")?;
            ensure!(state.stdout.trim() != "degraded", "a unit failed at boot: {}", m.run("systemctl --failed")?);
            Ok((state.stdout.trim() == "running").then_some(()))
        })?;
        Ok(machine)
    }

    /// Where the machine's files lie, seen from outside.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.root.join(inside.trim_start_matches('/'))
    }

    /// Writes a file of root's, with its directories.
    pub(crate) fn write_file(&self, inside: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let path = self.path(inside);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content).with_context(|| format!("cannot write {inside} in the machine"))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    /// Runs a program in the machine as root, to its end.
    pub(crate) fn exec(&self, argv: &[&str]) -> Result<Ran> {
        let output = self.enter(argv).output().with_context(|| format!("cannot enter the machine for {argv:?}"))?;
        Ok(Ran::from(output))
    }

    /// A program in the machine that runs on while the test does; its output goes to a file.
    pub(crate) fn spawn(&self, argv: &[&str], output: &Path) -> Result<Child> {
        let log = File::create(output)?;
        Ok(self.enter(argv).stdout(log.try_clone()?).stderr(log).spawn()?)
    }

    fn enter(&self, argv: &[&str]) -> std::process::Command {
        let mut command = program("nsenter");
        command
            .args(["-t", &self.leader.to_string(), "-a", "--", "env", "-i"])
            .args(["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "NO_COLOR=1"])
            .args(argv)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A shell line, whatever it answers.
    pub(crate) fn try_run(&self, line: &str) -> Result<Ran> {
        self.exec(&["sh", "-c", line])
    }

    /// A shell line that must succeed; answers its standard output.
    pub(crate) fn run(&self, line: &str) -> Result<String> {
        let ran = self.try_run(line)?;
        ensure!(ran.code == 0, "`{line}` in the machine answered {}: {}{}", ran.code, ran.stdout, ran.stderr);
        Ok(ran.stdout)
    }

    /// What a unit wrote to the journal.
    pub(crate) fn journal(&self, unit: &str) -> Result<String> {
        self.run(&format!("journalctl --no-pager -o short-precise -u {unit}"))
    }

    /// Looks again and again until `look` answers something; fails after `deadline` and says what was waited for.
    pub(crate) fn wait_until<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut look: impl FnMut(&mut Self) -> Result<Option<T>>,
    ) -> Result<T> {
        let start = now();
        loop {
            if let Some(found) = look(self).with_context(|| format!("while waiting until {what}"))? {
                return Ok(found);
            }
            ensure!(start.elapsed() < deadline, "not within {} s: {what}", deadline.as_secs());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Powers off; called by `drop` too.
    fn stop(&mut self) {
        if let Some(pid) = i32::try_from(self.leader).ok().and_then(Pid::from_raw) {
            // SIGRTMIN+4 asks systemd for a power off; rustix has no name for it.
            let _ = program("kill").args(["-s", "RTMIN+4", &pid.as_raw_nonzero().to_string()]).status();
        }
        let start = now();
        while start.elapsed() < STOP_MAX {
            if matches!(self.nspawn.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        if let Some(pid) = i32::try_from(self.leader).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.root);
        let _ = fs::remove_file(&self.console);
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn machines() -> PathBuf {
    tree::cache().join("machines")
}

/// The child that has become systemd; systemd-nspawn has others before that.
fn init_of(pid: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children
        .split_whitespace()
        .filter(|child| fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|comm| comm.trim() == "systemd"))
        .find_map(|child| child.parse().ok())
}

/// What an interrupted run left behind.
fn remove_stale() {
    Cgroup::remove_stale(PREFIX);
    let Ok(entries) = fs::read_dir(machines()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
            let _ = fs::remove_file(entry.path());
        }
    }
}
