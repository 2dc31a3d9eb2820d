//! A busy host: cgroups of sixty units more than this one has, so that a second has over five hundred samples.

use std::path::{Path, PathBuf};

/// Where the second version's hierarchy is, alone or beside the first.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
const UNITS: usize = 60;

/// Removed with this.
pub(crate) struct Crowd(Vec<PathBuf>);

impl Crowd {
    /// `None`, and said, where no cgroups can be made: without root.
    pub(crate) fn make() -> Option<Self> {
        let root = ROOTS.iter().map(Path::new).find(|root| root.join("cgroup.controllers").exists())?;
        let slice = root.join("holdfastbench.slice");
        let mut crowd = Self(vec![slice.clone()]);
        crowd.0.extend((0..UNITS).map(|n| slice.join(format!("holdfast-bench-{n}.service"))));
        for directory in &crowd.0 {
            if let Err(why) = std::fs::create_dir(directory) {
                eprintln!("no busy host: cannot make {}: {why}; root can", directory.display());
                return None;
            }
        }
        Some(crowd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for directory in self.0.iter().rev() {
            let _ = std::fs::remove_dir(directory);
        }
    }
}
