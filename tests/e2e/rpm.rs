//! A host whose packages rpm manages: what rpm does is a change and explains its files, what a hand does to them is drift.
//!
//! The real rpm, of the machine that runs the test, works on the tree of the machine that is tested.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use holdfast_tests::program;

use crate::harness::{Machine, on};

const FILE: &str = "/usr/share/tool/defaults.conf";
const WATCH: &str = "[watch]\nfiles = [\"/usr/share/tool/*.conf\"]\n[inventory]\nevery = \"1s\"\n";
const SOON: Duration = Duration::from_secs(30);

#[test]
fn rpm_explains_what_it_does_and_nothing_else() -> Result<()> {
    on("rpm", Machine::installed()?, |machine| {
        rpm(machine, &["-U"], Some(("1.0", "level = 1\n")))?;
        machine.set_up("advise", WATCH, "")?;
        machine.ask(&["baseline", "capture"])?;
        machine.wait_until("the package is among what there is", SOON, |m| {
            Ok((m.holdfast(&["baseline", "verify", "package:tool"])?.code == 0).then_some(()))
        })?;

        until_told(machine, "package.installed", "package:tool", "Installed tool 1.0-1")?;

        rpm(machine, &["-U"], Some(("1.1", "level = 2\n")))?;
        until_told(machine, "package.upgraded", "package:tool", "Changed tool from 1.0-1 to 1.1-1")?;
        until_told(machine, "file.*", &format!("file:{FILE}"), "tool")?;
        ensure!(machine.findings("file.drift", FILE)?.is_empty(), "the upgrade was reported as drift");

        machine.write_file(FILE, "level = 9\n", 0o644)?;
        machine.until_finding("file.drift", FILE, SOON)?;
        // As the package shipped it, whoever put it back.
        machine.write_file(FILE, "level = 2\n", 0o644)?;
        machine.until_resolved("file.drift", FILE, SOON)?;

        rpm(machine, &["-e", "tool"], None)?;
        until_told(machine, "package.removed", "package:tool", "Removed tool 1.1-1")?;
        ensure!(machine.findings("package.drift", "tool")?.is_empty(), "what rpm did was reported as drift");
        machine.chain_verifies()
    })
}

fn until_told(machine: &mut Machine, kind: &str, target: &str, words: &str) -> Result<()> {
    machine.wait_until(&format!("{kind} of {target} is told"), SOON, |m| {
        let said = m.ask(&["changes", "--kind", kind, "--target", target])?;
        let all = said["changes"].as_array().cloned().unwrap_or_default();
        Ok(all.iter().any(|it| it["summary"].as_str().is_some_and(|it| it.contains(words))).then_some(()))
    })
}

/// Runs rpm on the machine's tree; with a package of one file, which is built first.
fn rpm(machine: &Machine, args: &[&str], package: Option<(&str, &str)>) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut rpm = program("rpm");
    // Debian's rpm asks whether one means it.
    rpm.args(["--force-debian", "--nodeps", "--dbpath", "/var/lib/rpm", "--root"]).arg(machine.path("/")).args(args);
    if let Some((version, content)) = package {
        let spec = format!(
            "Name: tool\nVersion: {version}\nRelease: 1\nSummary: tool\nLicense: MIT\nBuildArch: noarch\n%description\ntool\n\
             %install\nmkdir -p %{{buildroot}}/usr/share/tool\ncp {source} %{{buildroot}}{FILE}\n%files\n{FILE}\n",
            source = dir.path().join("source").display()
        );
        fs::write(dir.path().join("source"), content)?;
        fs::write(dir.path().join("tool.spec"), spec)?;
        let built = program("rpmbuild")
            .args(["-bb", "--quiet", "--define"])
            .arg(format!("_topdir {}", dir.path().display()))
            .arg(dir.path().join("tool.spec"))
            .output()?;
        ensure!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        rpm.arg(dir.path().join(format!("RPMS/noarch/tool-{version}-1.noarch.rpm")));
    }
    let ran = rpm.output()?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}
