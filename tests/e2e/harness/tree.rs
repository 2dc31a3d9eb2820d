//! The Debian tree: made once by mmdebstrap, kept below `target/e2e`, copied for each machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use holdfast_tests::{program, root};

/// What the tree holds beside Debian's minimum. Part of the cache's name: another list is another tree.
const PACKAGES: &str =
    "systemd,systemd-sysv,dbus,polkitd,libpam-systemd,procps,iproute2,ca-certificates,python3-minimal,libpython3.11";
const SUITE: &str = "bookworm";
/// Raised when the tree has to be made again for another reason.
const GENERATION: u32 = 1;

/// Where everything that survives a run is kept.
pub(crate) fn cache() -> PathBuf {
    root().join("target/e2e")
}

/// The prepared tree; the first caller makes it, others wait.
pub(crate) fn base() -> Result<&'static Path> {
    static BASE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BASE.get_or_init(|| make().map_err(|e| format!("{e:#}"))) {
        Ok(path) => Ok(path),
        Err(why) => bail!("{why}"),
    }
}

fn make() -> Result<PathBuf> {
    let dir = cache().join("tree");
    let mark = cache().join("tree.mark");
    let wanted = format!("{SUITE} {GENERATION} {PACKAGES}\n");
    if dir.join("usr").is_dir() && fs::read_to_string(&mark).is_ok_and(|text| text == wanted) {
        return Ok(dir);
    }
    fs::create_dir_all(cache())?;
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot remove the old {}", dir.display()))?;
    }
    let made = program("mmdebstrap")
        .args(["--quiet", "--variant=minbase"])
        .arg(format!("--include={PACKAGES}"))
        .arg(SUITE)
        .arg(&dir)
        .output()
        .context("cannot start mmdebstrap\nhint: apt-get install -y mmdebstrap")?;
    ensure!(made.status.success(), "mmdebstrap failed: {}", String::from_utf8_lossy(&made.stderr));
    fs::write(mark, wanted)?;
    Ok(dir)
}

/// A copy of the tree, for one machine.
pub(crate) fn copy_to(to: &Path) -> Result<()> {
    let base = base()?;
    let parent = to.parent().context("a machine's tree has a parent")?;
    fs::create_dir_all(parent)?;
    let copied = program("cp").args(["-a", "--reflink=auto"]).arg(base).arg(to).output()?;
    ensure!(copied.status.success(), "cannot copy the tree: {}", String::from_utf8_lossy(&copied.stderr));
    Ok(())
}
