//! A fresh cgroup for each machine, and its end.
//!
//! systemd in the tree wants a cgroup of its own to manage. Legacy machines have two trees that matter (`systemd` and
//! `unified`), others have one. No limit is set: the machine's memory tree is left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// The directories of one machine.
pub(crate) struct Cgroup(Vec<PathBuf>);

impl Cgroup {
    pub(crate) fn create(name: &str) -> Result<Self> {
        let top = Path::new("/sys/fs/cgroup");
        let trees = if top.join("cgroup.procs").exists() {
            vec![top.to_path_buf()]
        } else {
            ["systemd", "unified"].iter().map(|t| top.join(t)).filter(|t| t.is_dir()).collect()
        };
        let dirs: Vec<PathBuf> = trees.into_iter().map(|tree| tree.join(name)).collect();
        for dir in &dirs {
            fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        Ok(Self(dirs))
    }

    /// Shell words that move the shell itself in.
    pub(crate) fn enter(&self) -> String {
        let lines: Vec<String> =
            self.0.iter().map(|dir| format!("echo $$ > {}/cgroup.procs\n", dir.display())).collect();
        lines.concat()
    }

    /// The directories of machines whose owner is gone.
    pub(crate) fn remove_stale(prefix: &str) {
        for tree in ["", "systemd", "unified"] {
            let Ok(entries) = fs::read_dir(Path::new("/sys/fs/cgroup").join(tree)) else { continue };
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let owner = name.strip_prefix(prefix).and_then(|rest| rest.split('-').next());
                if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                    end(&entry.path());
                }
            }
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for dir in &self.0 {
            end(dir);
        }
    }
}

/// Kills what is left in a tree of cgroups and removes it, deepest first.
fn end(dir: &Path) {
    for _ in 0..50 {
        if remove(dir) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn remove(dir: &Path) -> bool {
    if let Ok(entries) = fs::read_dir(dir) {
        for entry in entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            remove(&entry.path());
        }
    }
    for pid in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
        if let Some(pid) = pid.parse().ok().and_then(rustix::process::Pid::from_raw) {
            // Gone already is what is wanted.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    fs::remove_dir(dir).is_ok() || !dir.exists()
}
